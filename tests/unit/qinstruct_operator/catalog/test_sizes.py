"""What each size decides."""

from typing import Any, get_args

from qinstruct_operator.api.crd import crd
from qinstruct_operator.catalog.sizes import CHECKPOINT_BYTES, SIZES, STATE_BYTES
from qinstruct_trainer.contract.config import Size, Strategy


def test_every_size_and_strategy_of_the_contract_has_its_facts() -> None:
    assert tuple(SIZES) == get_args(Size)
    assert {tuple(facts.hours) for facts in SIZES.values()} == {get_args(Strategy)}


def test_memory_of_the_gpus_that_a_size_needs() -> None:
    needed = {name: facts.gpu.gigabytes for name, facts in SIZES.items() if facts.gpu}
    assert needed == {"7B": 40, "13B": 80}


def test_a_size_has_a_network_to_plan_for_where_it_has_gpus() -> None:
    assert all((facts.network is None) == (facts.gpu is None) for facts in SIZES.values())


def test_bytes_a_parameter() -> None:
    assert (STATE_BYTES, CHECKPOINT_BYTES) == (16, 14)


def test_the_crd_refuses_gpus_with_less_memory_than_the_size_needs() -> None:
    spec: dict[str, Any] = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    rules = spec["properties"]["spec"]["x-kubernetes-validations"]
    assert [rule["message"] for rule in rules if rule["fieldPath"] == ".gpu.product"] == [
        "has 40 GB, and size 13B needs GPUs of 80 GB; use auto or a product of 80 GB or more"
    ]
