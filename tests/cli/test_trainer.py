"""A process that answers with one document: in a line of its own, or not at all."""

import sys

import pytest

from qinstruct_operator.cli.trainer import TrainerFailed, ask_trainer
from qinstruct_trainer.contract.cache import KeptEntry
from qinstruct_trainer.contract.events import Event, Failed, Verifying

DOCUMENT = KeptEntry(name="a", reason="b")


def python(*lines: str) -> list[str]:
    return [sys.executable, "-c", "\n".join(lines)]


def test_the_document_and_the_events_before_it() -> None:
    event = Verifying(item="\x1b[31mred", done=1, total=2)
    events: list[Event] = []
    command = python(
        f"print({event.model_dump_json()!r})", f"print({DOCUMENT.model_dump_json()!r})"
    )
    assert ask_trainer(command, KeptEntry, events.append) == DOCUMENT
    assert events == [event.model_copy(update={"item": "red"})]


def test_its_sentence_and_its_exit_code() -> None:
    event = Failed(reason="BadData", message="it is\nbad", exit_code=65)
    command = python(f"print({event.model_dump_json()!r})", "raise SystemExit(65)")
    with pytest.raises(TrainerFailed, match=r"^it is\\nbad$") as caught:
        ask_trainer(command, KeptEntry)
    assert caught.value.exit_code == 65


@pytest.mark.parametrize("end", ["raise SystemExit(7)", "1 / 0", "print('{}')"])
def test_a_process_that_does_not_say_why(end: str) -> None:
    command = python("import sys", "sys.stderr.write('because\\x1b[31m')", end)
    with pytest.raises(TrainerFailed, match="because") as caught:
        ask_trainer(command, KeptEntry)
    assert caught.value.exit_code == 70
    assert "\x1b" not in str(caught.value)
