"""GPU products and classes."""

import itertools
from typing import Any

from qinstruct_operator.api.crd import crd
from qinstruct_operator.catalog.gpus import (
    A100_40,
    A100_80,
    GPU_CLASSES,
    PRODUCT_GIGABYTES,
    larger_classes,
    smaller_classes,
)


def test_the_classes_are_in_the_order_of_their_memory() -> None:
    assert [each.gigabytes for each in GPU_CLASSES] == [40, 80]
    assert (larger_classes(A100_40), larger_classes(A100_80)) == ((A100_80,), ())
    assert (smaller_classes(A100_40), smaller_classes(A100_80)) == ((), (A100_40,))


def test_no_gpu_is_of_two_classes() -> None:
    for smaller, larger in itertools.pairwise(GPU_CLASSES):
        assert smaller.above_mebibytes < smaller.below_mebibytes <= larger.above_mebibytes


def test_the_api_offers_every_product() -> None:
    spec: dict[str, Any] = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    product = spec["properties"]["spec"]["properties"]["gpu"]["properties"]["product"]
    assert product["enum"] == ["auto", *PRODUCT_GIGABYTES]


def test_a_product_that_names_its_memory_names_it_truly() -> None:
    """The CRD's rule about products that are too small reads the name."""
    for gpu_class in GPU_CLASSES:
        named = {name for name in PRODUCT_GIGABYTES if f"{gpu_class.gigabytes}GB" in name}
        assert gpu_class.product in named
        assert {PRODUCT_GIGABYTES[name] for name in named} == {gpu_class.gigabytes}
