import os
import subprocess
import sys

import pytest

from qinstruct_trainer.lease.holder import Holder


def test_what_is_written_reads_back_and_keeps_its_size() -> None:
    holder = Holder.this_process("one")
    later = holder.model_copy(update={"beat": 12345, "released": True})
    assert Holder.parse(later.to_bytes()) == later
    assert len(holder.to_bytes()) == len(later.to_bytes())


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"\xff"])
def test_a_file_that_is_not_written_yet_has_no_holder(content: bytes) -> None:
    assert Holder.parse(content) is None


def test_a_long_name_is_cut() -> None:
    assert Holder.this_process("x" * 5000).owner == "x" * 100


def test_this_process_is_alive() -> None:
    holder = Holder.this_process("one")
    assert holder.is_on_this_machine()
    assert not holder.is_dead()


def test_a_process_that_has_ended_is_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    assert Holder.this_process("one").model_copy(update={"pid": child.pid}).is_dead()


def test_a_later_process_with_the_same_pid_is_another_one() -> None:
    assert Holder.this_process("one").model_copy(update={"born": "1"}).is_dead()


@pytest.mark.parametrize("machine", ["another boot pid:[1]", ""])
def test_nothing_is_known_of_a_process_elsewhere(machine: str) -> None:
    gone = {"machine": machine, "pid": os.getpid(), "born": "1"}
    holder = Holder.this_process("one").model_copy(update=gone)
    assert not holder.is_on_this_machine()
    assert not holder.is_dead()
