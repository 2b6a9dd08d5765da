from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from deepspeed.runtime.fp16.loss_scaler import LossScaler
from torch import Tensor

from qinstruct_trainer.train.checkpoint.host_copy import Described, HostBuffers, rebuild
from qinstruct_trainer.train.state_files import write_state

A, B = Path("a.pt"), Path("b.pt")


def copied(states: dict[Path, Any], buffers: HostBuffers | None = None) -> dict[Path, Any]:
    described = Described.of(states)
    held = (buffers or HostBuffers()).copy(described)
    return {path: rebuild(content, held) for path, content in described.pickles.items()}


def some_state() -> dict[str, Any]:
    """As DeepSpeed's: views of a flat buffer, parameters, notes on tensors, objects, values."""
    flat = torch.arange(1000.0)
    noted = torch.arange(3)
    noted.ds_numel = 3  # type: ignore[attr-defined]
    return {
        "module": OrderedDict(first=flat[:600].view(20, 30), second=flat[600:990].view(39, 10).T),
        "parameter": torch.nn.Parameter(torch.ones(4), requires_grad=False),
        "noted": noted,
        "half": torch.ones(5, dtype=torch.bfloat16),
        "empty": torch.empty(0),
        "scaler": LossScaler(2.0),
        "step": torch.tensor(7.0),
        "numbers": [1, (2.5, None), "text"],
    }


def test_a_copy_is_written_as_the_state_itself(tmp_path: Path) -> None:
    """To the bit, so that what shares a buffer shares one in the file too."""
    state = some_state()
    expected = write_state(tmp_path / "expected.pt", state)
    assert write_state(tmp_path / "copy.pt", copied({A: state})[A]) == expected


def test_a_copy_does_not_change_with_the_state() -> None:
    state = some_state()
    expected = {name: value.clone() for name, value in state["module"].items()}
    copy = copied({A: state})[A]
    for value in state["module"].values():
        value.mul_(-3.0)
    state["parameter"].data.fill_(9.0)
    state["step"] += 1
    state["numbers"].append("more")
    for name, value in expected.items():
        assert torch.equal(copy["module"][name], value)
    assert copy["parameter"].tolist() == [1.0] * 4
    assert copy["step"] == 7.0
    assert copy["numbers"] == [1, (2.5, None), "text"]


def test_what_files_share_is_copied_once() -> None:
    flat = torch.arange(1000.0)
    described = Described.of({A: {"all": flat}, B: {"part": flat[10:20]}})
    assert [buffer.nbytes() for buffer in described.buffers] == [4000]
    held = HostBuffers().copy(described)
    assert torch.equal(rebuild(described.pickles[B], held)["part"], torch.arange(10.0, 20.0))


def test_the_next_copy_takes_the_memory_of_the_one_before() -> None:
    buffers = HostBuffers()
    described = Described.of({A: some_state()})
    assert buffers.missing(described) == sum(buffer.nbytes() for buffer in described.buffers)
    first = [buffer.data_ptr() for buffer in buffers.copy(described)]
    again = Described.of({A: some_state()})
    assert buffers.missing(again) == 0
    assert sorted(buffer.data_ptr() for buffer in buffers.copy(again)) == sorted(first)


def test_only_what_has_grown_is_missing() -> None:
    buffers = HostBuffers()
    buffers.copy(Described.of({A: [torch.zeros(10), torch.zeros(20)]}))
    larger = Described.of({A: [torch.zeros(20), torch.zeros(20), torch.zeros(5)]})
    assert buffers.missing(larger) == 80 + 20
    buffers.release()
    assert buffers.missing(larger) == 80 + 80 + 20


@pytest.mark.gpu
def test_a_copy_of_what_is_on_a_gpu_is_on_the_host() -> None:
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    state: dict[str, Any] = {"flat": torch.arange(1000.0, device="cuda")}
    state["view"] = state["flat"][10:20]
    buffers = HostBuffers()
    for factor in (1.0, -2.0):
        state["flat"].mul_(factor)
        expected: Tensor = state["flat"].cpu()
        copy = copied({A: state}, buffers)[A]
        state["flat"].add_(1.0)
        assert copy["flat"].device.type == "cpu"
        assert copy["flat"].is_pinned()
        assert torch.equal(copy["flat"], expected)
        assert torch.equal(copy["view"], expected[10:20])
    buffers.release()
    assert torch.ones(2, device="cuda").sum() == 2
