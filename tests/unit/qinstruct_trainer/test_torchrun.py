import signal
from pathlib import Path

import pytest
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from qinstruct_trainer.contract.errors import (
    EXIT_DATA,
    EXIT_PEER_LOST,
    EXIT_SOFTWARE,
    EXIT_STOPPED,
)
from qinstruct_trainer.contract.events import (
    TERMINATION_LOG_ENV,
    Failed,
    parse_line,
    write_termination_message,
)
from qinstruct_trainer.torchrun import conclude

KILLED, TERMINATED = -signal.SIGKILL, -signal.SIGTERM
SENTENCE = Failed(reason="BadData", message="the sentence", exit_code=EXIT_DATA)


@pytest.fixture(autouse=True)
def _termination_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TERMINATION_LOG_ENV, str(tmp_path / "termination-log"))


def failures(*ends: tuple[int, int]) -> dict[int, ProcessFailure]:
    """Of rank 0, 1, ...: exit code, and the second in which it ended."""
    found = {}
    for rank, (code, second) in enumerate(ends):
        found[rank] = ProcessFailure(rank, pid=1000 + rank, exitcode=code, error_file="none")
        found[rank].timestamp = second
    return found


CAUSES: dict[str, tuple[list[tuple[int, int]], int]] = {
    "the earliest": ([(EXIT_SOFTWARE, 5), (EXIT_DATA, 4)], EXIT_DATA),
    "the lower rank of a tie": ([(EXIT_SOFTWARE, 5), (EXIT_DATA, 5)], EXIT_SOFTWARE),
    "not the one that lost its peer": ([(EXIT_PEER_LOST, 4), (EXIT_DATA, 5)], EXIT_DATA),
    "not the one that torchrun ended": ([(TERMINATED, 4), (EXIT_DATA, 5)], EXIT_DATA),
    "the killed one": ([(EXIT_SOFTWARE, 4), (KILLED, 5)], 137),
    "asked to stop": ([(EXIT_STOPPED, 5), (EXIT_STOPPED, 5)], EXIT_STOPPED),
    "ended before training": ([(TERMINATED, 5), (TERMINATED, 5)], 143),
}


@pytest.mark.parametrize(("ends", "expected"), CAUSES.values(), ids=CAUSES)
def test_the_exit_code_is_that_of_the_cause(ends: list[tuple[int, int]], expected: int) -> None:
    assert conclude(failures(*ends)) == expected


def test_a_killed_rank_gets_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    conclude(failures((EXIT_PEER_LOST, 4), (KILLED, 5)))
    said = capsys.readouterr()
    event = parse_line(said.out, None)
    assert isinstance(event, Failed)
    assert (event.reason, event.exit_code) == ("Killed", 137)
    assert event.message.startswith("rank 1 was killed by SIGKILL, most often because memory")
    assert said.err == f"{event.message}\n"


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (
            signal.SIGABRT,
            "by SIGABRT, most often because torch gave up on a collective call",
        ),
        (signal.SIGBUS, "killed by SIGBUS, most often because shared memory or a disk is full"),
        (signal.SIGSEGV, "killed by SIGSEGV; start the same command again"),
    ],
)
def test_a_signal_says_what_it_most_often_means(
    number: signal.Signals, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    conclude(failures((EXIT_PEER_LOST, 4), (-number, 5)))
    assert hint in capsys.readouterr().err


def test_a_reason_that_a_rank_has_written_is_not_repeated(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_termination_message(SENTENCE)
    conclude(failures((EXIT_DATA, 4), (EXIT_PEER_LOST, 5)))
    assert capsys.readouterr().out == ""


def test_the_reason_of_another_rank_is_printed_where_rank_0_was_ended(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_termination_message(SENTENCE)
    conclude(failures((TERMINATED, 5), (EXIT_DATA, 4)))
    assert parse_line(capsys.readouterr().out, None) == SENTENCE


def test_a_stop_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    conclude(failures((EXIT_STOPPED, 5)))
    assert capsys.readouterr() == ("", "")
