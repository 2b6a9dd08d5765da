"""What pods ask of a node, in proportion to its GPUs."""

import pytest

from qinstruct_operator.catalog.sizes import SIZES, Requests
from qinstruct_operator.core.children.resources import resources, train_requests
from support.operator_documents import document, plan


@pytest.mark.parametrize(
    ("per_node", "cpu", "memory", "shared_memory"),
    [(8, "80", "560Gi", "64Gi"), (4, "40", "280Gi", "32Gi"), (16, "160", "1120Gi", "128Gi")],
)
def test_requests_grow_with_the_gpus(
    per_node: int, cpu: str, memory: str, shared_memory: str
) -> None:
    requests = train_requests(plan(document(gpu={"perNode": per_node, "product": "NVIDIA-H200"})))
    assert requests == Requests(cpu, memory, shared_memory, scratch=SIZES["7B"].train.scratch)


def test_a_size_without_gpus_has_its_own_requests() -> None:
    assert train_requests(plan(document(size="Tiny"))) == SIZES["Tiny"].train


def test_memory_and_gpus_are_limits_and_cpus_are_not() -> None:
    requests = Requests(cpu="2", memory="4Gi", shared_memory="1Gi", scratch="1Gi")
    assert resources(requests, 4) == {
        "requests": {"cpu": "2", "memory": "4Gi", "nvidia.com/gpu": "4"},
        "limits": {"memory": "4Gi", "nvidia.com/gpu": "4"},
    }
    assert "nvidia.com/gpu" not in resources(requests)["limits"]
