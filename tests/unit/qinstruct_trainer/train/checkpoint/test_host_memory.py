from pathlib import Path

import pytest
import torch

from qinstruct_trainer.train.checkpoint import host_memory
from qinstruct_trainer.train.checkpoint.host_memory import HostMemory
from support.checkpoints import RANKS

STATE = {Path("a.pt"): {"weights": torch.zeros(1000)}}


@pytest.mark.parametrize(("left", "copies"), [(5000, True), (4999, False), (0, False)])
def test_a_copy_is_made_where_there_is_room(
    left: int, copies: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_memory, "memory_left", lambda: left)
    copied = HostMemory(RANKS).copy(STATE)
    assert (copied is not None) == copies
    if copied is not None:
        [(path, state)] = copied
        assert path == Path("a.pt")
        assert torch.equal(state["weights"], torch.zeros(1000))


def test_what_is_held_already_needs_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = HostMemory(RANKS)
    assert memory.copy(STATE) is not None
    monkeypatch.setattr(host_memory, "memory_left", lambda: 0)
    assert memory.copy(STATE) is not None
    memory.release()
    assert memory.copy(STATE) is None


def test_a_copy_that_may_take_no_memory_is_made_in_what_is_held(
    capsys: pytest.CaptureFixture[str],
) -> None:
    memory = HostMemory(RANKS)
    assert memory.copy(STATE, may_grow=False) is None
    assert memory.copy(STATE) is not None
    assert memory.copy(STATE, may_grow=False) is not None
    assert capsys.readouterr().err == ""


def test_that_there_is_none_is_said_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(host_memory, "memory_left", lambda: 100)
    memory = HostMemory(RANKS)
    memory.copy(STATE)
    memory.copy(STATE)
    assert capsys.readouterr().err == (
        "the run waits while its checkpoints are written: a copy of its state needs 5,000 bytes of "
        "a node's memory, with a reserve of a quarter, and 100 are left; with more memory it goes "
        "on meanwhile\n"
    )


@pytest.mark.parametrize(
    ("needs", "refused"),
    [
        ([(0, 40, 100), (0, 40, 100)], False),
        ([(0, 40, 100), (0, 41, 100)], True),  # together they need more than its share
        ([(0, 40, 100), (8, 41, 100)], False),  # on two nodes
        ([(0, 10, 100), (8, 10, 5)], True),  # one of them is full
    ],
)
def test_all_ranks_of_a_node_count(needs: list[tuple[int, int, int]], refused: bool) -> None:
    assert (host_memory._refusal(needs) is not None) == refused
