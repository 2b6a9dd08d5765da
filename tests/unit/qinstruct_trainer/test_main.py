import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from qinstruct_trainer.__main__ import main
from qinstruct_trainer.contract.errors import EXIT_CONFIG, EXIT_STORAGE
from qinstruct_trainer.contract.events import (
    TERMINATION_LOG_ENV,
    Failed,
    parse_line,
    read_termination_message,
    write_termination_message,
)


@pytest.fixture(autouse=True)
def _process_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What `main` changes in its process is put back."""
    monkeypatch.setenv(TERMINATION_LOG_ENV, str(tmp_path / "termination-log"))
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_a_refusal_is_a_sentence_an_event_and_an_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "run.json"
    assert main(["train", "--config", str(config)]) == EXIT_STORAGE
    said = capsys.readouterr()
    assert said.err == f"{config} cannot be read: No such file or directory\n"
    event = parse_line(said.out, None)
    assert isinstance(event, Failed)
    assert (event.reason, event.exit_code) == ("Storage", EXIT_STORAGE)
    assert read_termination_message() == event


def test_a_config_of_another_version_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "run.json"
    config.write_text("{}")
    assert main(["train", "--config", str(config)]) == EXIT_CONFIG


def test_a_rank_that_does_not_print_leaves_its_reason_for_the_one_that_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    assert main(["train", "--config", str(tmp_path / "run.json")]) == EXIT_STORAGE
    assert capsys.readouterr() == ("", "")
    assert isinstance(read_termination_message(), Failed)


@pytest.mark.parametrize("rank", ["0", "1"])
def test_the_first_reason_stays(
    rank: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", rank)
    first = Failed(reason="BadData", message="the sentence", exit_code=65)
    write_termination_message(first)
    main(["train", "--config", str(tmp_path / "run.json")])
    assert read_termination_message() == first
    assert parse_line(capsys.readouterr().out, None) == (first if rank == "0" else None)


def test_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "{prep,train,evaluate,convert,contents}" in capsys.readouterr().out
