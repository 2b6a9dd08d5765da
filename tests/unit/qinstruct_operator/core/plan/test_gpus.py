"""How many GPUs, and which."""

import pytest

from qinstruct_operator.api import parse
from qinstruct_operator.core.plan.gpus import gpu_plan, num_processes
from support.operator_documents import document


@pytest.mark.parametrize(
    ("size", "gpu", "expected"),
    [
        ("7B", {}, (8, 40, True)),
        ("13B", {"perNode": 4}, (4, 80, True)),
        ("7B", {"product": "NVIDIA-H200"}, (8, 141, True)),
        ("13B", {"product": "NVIDIA-A100-PCIE-40GB"}, (8, 40, False)),
    ],
)
def test_gpus_of_a_run(size: str, gpu: dict[str, object], expected: tuple[int, int, bool]) -> None:
    made = gpu_plan(parse(document(size=size, gpu=gpu)).spec)
    assert made is not None
    assert (made.per_node, made.gigabytes, made.is_large_enough) == expected
    assert num_processes(made) == made.per_node


def test_tiny_trains_on_two_processes_without_gpus() -> None:
    assert gpu_plan(parse(document(size="Tiny")).spec) is None
    assert num_processes(None) == 2
