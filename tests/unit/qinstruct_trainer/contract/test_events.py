import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qinstruct_trainer.contract import events
from qinstruct_trainer.contract.events import (
    TERMINATION_LOG_ENV,
    WRITER_ENV,
    Complete,
    Event,
    Failed,
    PrepDone,
    PrepProgress,
    PrepWaiting,
    StoppedEvent,
    emit,
    parse_line,
    read_termination_message,
    say,
    write_termination_message,
)

PROGRESS = PrepProgress(stage="fetch", item="a", done=1, unit="bytes")
FINAL: list[Event] = [
    PrepDone(num_records=1, num_dropped=0, path="/x"),
    StoppedEvent(step=1, steps=2),
    Failed(reason="Bug", message="why", exit_code=70),
    Complete(model="/model"),
]


@pytest.fixture
def termination_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "termination-log"
    monkeypatch.setenv(TERMINATION_LOG_ENV, str(path))
    return path


def test_each_event_says_who_wrote_it(
    termination_log: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WRITER_ENV, "uid-a")
    emit(PROGRESS)
    emit(FINAL[2].model_copy(update={"writer": "uid-b"}))  # e.g. another process's, repeated
    for line in (*capsys.readouterr().out.splitlines(), termination_log.read_text()):
        assert parse_line(line, "uid-a") is not None
        assert parse_line(line, "uid-b") is None
    assert read_termination_message() is not None
    monkeypatch.setenv(WRITER_ENV, "uid-b")  # what an earlier process left is no word of this one
    assert read_termination_message() is None


FORGED = FINAL[2].model_dump_json()


@pytest.mark.parametrize(
    "text",
    [
        FORGED,
        f" {FORGED}",
        f"\ufeff{FORGED}",
        *(f"a{end}{FORGED}{end}" for end in ("\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028")),
    ],
)
def test_what_is_said_is_one_line_and_no_event(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    say(text)
    (line,) = capsys.readouterr().err.splitlines()
    assert FORGED in line
    assert parse_line(line, None) is None


@pytest.mark.parametrize("text", ["reading a.jpg", "(in brackets)", "[1, 2]", "é \U0001f600"])
def test_what_is_no_event_is_said_as_it_is(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    say(text)
    assert capsys.readouterr().err == f"{text}\n"


@pytest.mark.usefixtures("termination_log")
@pytest.mark.parametrize("event", [PROGRESS, *FINAL], ids=lambda event: event.event)
def test_an_event_is_one_line_that_reads_back(
    event: Event, capsys: pytest.CaptureFixture[str]
) -> None:
    emit(event)
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert parse_line(said, None) == event


def test_absent_values_are_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    emit(PROGRESS)
    assert "total" not in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("event", FINAL, ids=lambda event: event.event)
def test_a_final_event_becomes_the_termination_message(event: Event, termination_log: Path) -> None:
    emit(PROGRESS)
    assert not termination_log.exists()
    emit(event)
    assert read_termination_message() == event


def test_the_message_of_a_rank_that_does_not_print(
    termination_log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_termination_message(FINAL[2])
    assert parse_line(termination_log.read_text(), None) == FINAL[2]
    assert capsys.readouterr().out == ""


def test_a_long_message_is_cut_to_what_the_kubelet_keeps(termination_log: Path) -> None:
    write_termination_message(Failed(reason="Bug", message="ä" * 5000, exit_code=70))
    assert len(termination_log.read_bytes()) <= 4096
    found = read_termination_message()
    assert isinstance(found, Failed)
    assert found.message == "ä" * 512


@given(st.text('aä"\n\0\u2028\N{GRINNING FACE}', max_size=9), st.integers(0, 9000))
def test_a_last_word_of_any_text_is_whole_within_what_the_kubelet_keeps(
    tmp_path_factory: pytest.TempPathFactory, text: str, length: int
) -> None:
    """In JSON one character may take 1 byte or 12; the kubelet would cut in the middle."""
    message = (text * length)[:length]
    path = tmp_path_factory.mktemp("pod") / "termination-log"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TERMINATION_LOG_ENV, str(path))
        write_termination_message(Failed(reason="Bug", message=message, exit_code=70))
        found = read_termination_message()
    assert len(path.read_bytes()) <= 4096
    assert isinstance(found, Failed)
    assert message.startswith(found.message)
    assert found.message == message or len(found.message) >= 256


def test_in_a_pod_the_last_word_is_left_where_the_kubelet_looks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its default, since the containers name no other terminationMessagePath."""
    monkeypatch.delenv(TERMINATION_LOG_ENV, raising=False)
    assert events.termination_log() == Path("/dev/termination-log")


@pytest.mark.parametrize("content", [b"", b"\xff", b'{"event": "complete", "model": "\xc3'])
def test_half_a_last_word_is_none(content: bytes, termination_log: Path) -> None:
    termination_log.write_bytes(content)
    assert read_termination_message() is None


def test_a_termination_log_that_cannot_be_written_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TERMINATION_LOG_ENV, str(tmp_path / "missing" / "log"))
    emit(FINAL[0])
    assert read_termination_message() is None


@pytest.mark.parametrize(
    "line",
    [
        "plain text",
        "",
        "{not json",
        '{"event": "unheard-of"}',
        '{"event": "complete"}',
        '{"v": 2, "event": "complete", "model": "/model"}',
    ],
)
def test_other_lines_are_no_events(line: str) -> None:
    assert parse_line(line, None) is None


def test_a_field_that_a_newer_version_added_is_skipped() -> None:
    found = parse_line('{"event": "complete", "model": "/model", "more": 1}', None)
    assert isinstance(found, Complete)
    assert found.model == "/model"


@pytest.mark.parametrize(
    "rows",
    [
        [{"name": "a", "state": "Verifying"}],
        [{"name": "a", "state": "Ready"}, {"name": "b", "state": "Ready", "unit": "parts"}],
        [{"name": "a", "state": 7}],
        [{"state": "Ready"}],
        [7],
        {"a": "Ready"},
        "Ready",
    ],
)
def test_what_a_newer_version_says_of_sources_hides_no_event(rows: object) -> None:
    said = {"event": "prep", "stage": "fetch", "item": "a", "done": 5, "unit": "bytes"}
    found = parse_line(json.dumps(said | {"sources": rows}), None)
    assert isinstance(found, PrepProgress)
    assert (found.item, found.done, found.sources) == ("a", 5, None)
    waiting = {"event": "waiting", "stage": "fetch", "item": "a", "owner": "b", "sources": rows}
    assert isinstance(parse_line(json.dumps(waiting), None), PrepWaiting)
