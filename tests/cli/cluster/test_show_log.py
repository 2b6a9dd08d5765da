"""Lines of a log on the screen: events as sentences or bars, others sanitized, or all raw."""

import io

import pytest
from rich.console import Console

from qinstruct_operator.cli.cluster.show_log import (
    LogPrinter,
    RawPrinter,
    TextPrinter,
    open_printer,
)
from qinstruct_operator.cli.show_events import open_view
from qinstruct_trainer.contract.events import (
    Checkpoint,
    Complete,
    Failed,
    PrepDone,
    PrepProgress,
    PrepWaiting,
    StoppedEvent,
)
from support.cli.cluster_commands import EVIL, TAMED

UID = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
LINES = tuple(
    said if isinstance(said, str) else said.model_copy(update={"writer": UID}).model_dump_json()
    for said in (
        EVIL,
        "epoch 1/3\r\x1b[Kepoch 2/3",
        "\tindented",
        '{"event": "from the future", "v": 9}',
        PrepProgress(stage="fetch", item=EVIL, done=5, total=10, unit="files", time=1),
        PrepWaiting(stage="model", item="llava", owner=EVIL),
        PrepDone(num_records=3, num_dropped=0, path="/x"),
        Checkpoint(step=3, path="/x", num_bytes=10**400, seconds=1),
        StoppedEvent(step=4, steps=10),
        Failed(reason="BadData", message=EVIL, exit_code=65),
        Complete(model=EVIL),
    )
)


SHOWN = (
    TAMED,
    "epoch 2/3",
    "    indented",
    '{"event": "from the future", "v": 9}',
    f"fetch {TAMED}: 5 of 10 files",
    f"model llava: waiting for run {TAMED}, which is building it",
    "data ready: 3 records",
    "stopped after step 4 of 10",
    f"failed (BadData): {TAMED}",
    f"complete: the model is in {TAMED}",
)


def print_all(printer: LogPrinter) -> None:
    for line in LINES:
        printer.line(line, UID)
    printer.close()


def test_events_are_sentences_and_lines_are_sanitized() -> None:
    stream = io.StringIO()
    print_all(TextPrinter(open_view(Console(file=stream))))
    shown = stream.getvalue().splitlines()
    (absurd,) = [line for line in shown if "1" + "0" * 400 in line]
    assert absurd.startswith('{"v":1,')  # numbers too large to be formatted: the line as it is
    assert tuple(line for line in shown if line != absurd) == SHOWN


@pytest.mark.parametrize("writer", [None, "", "another", UID.upper()])
def test_what_another_writer_says_is_a_line_of_text(writer: str | None) -> None:
    line = Failed(reason="Forged", message="it failed", exit_code=1, writer=writer)
    stream = io.StringIO()
    TextPrinter(open_view(Console(file=stream, width=500))).line(line.model_dump_json(), UID)
    assert stream.getvalue().startswith('{"v":1,')


def test_of_a_pod_of_an_older_version_each_event_counts() -> None:
    stream = io.StringIO()
    TextPrinter(open_view(Console(file=stream))).line(Complete(model="/m").model_dump_json(), None)
    assert stream.getvalue() == "complete: the model is in /m\n"


def test_raw_lines_are_untouched(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    printer = open_printer(Console(), raw=True)
    print_all(printer)
    printer.note("a note")
    said = capfdbinary.readouterr()
    assert said.out == "".join(f"{line}\n" for line in LINES).encode()
    assert said.err == b"qinstruct: a note\n"


def test_raw_lines_are_sanitized_on_a_terminal() -> None:
    stream = io.BytesIO()
    print_all(RawPrinter(stream, is_terminal=True))
    lines = stream.getvalue().decode().splitlines()
    assert len(lines) == len(LINES)
    assert lines[:3] == list(SHOWN[:3])
    assert all(line.isprintable() for line in lines)


def test_bars_draw_nothing_of_others() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=120, color_system=None)
    print_all(TextPrinter(open_view(console)))
    drawn = stream.getvalue()
    assert drawn.count(TAMED) >= 5
    assert "owned" not in drawn
    assert "\x1b[31m" not in drawn
    assert "\u202e" not in drawn
