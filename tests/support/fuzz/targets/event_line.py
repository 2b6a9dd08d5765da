"""Lines that a container printed, or left as its last word: what becomes of them."""

import io
import json
from itertools import product
from typing import Final

from jsonschema import Draft202012Validator
from rich.console import Console

from qinstruct_operator.api.crd import crd
from qinstruct_operator.cli.cluster.show_log import TextPrinter
from qinstruct_operator.cli.show_events import BarView, PlainView
from qinstruct_operator.core.judge.judge import judge
from qinstruct_operator.core.judge.observe import Snapshot, observe
from qinstruct_operator.core.run import Run
from qinstruct_operator.reconcile import status_json
from qinstruct_operator.settings import Settings
from support.fuzz.verdict import must_be_shown
from support.observed import NOW, Raw, ended, pod, running, training
from support.status_cases.case import DONE, JOB, PREP

MEMORY: Final = 128 << 20
_RUN: Final = Run.read(training(), Settings())
_MAX_STATUS: Final = 64 << 10
_VERSIONS: Final = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
STATUS_SCHEMA: Final = Draft202012Validator(_VERSIONS["properties"]["status"])


def run(content: bytes) -> object:
    """The numbers of events that were drawn."""
    text = content.decode("utf-8", "replace")  # as the API server's answer is read
    lines = tuple(text.split("\n"))
    states = (running(), ended(0, message=text), ended(65, message=text), ended(137))
    for prep, state in product((True, False), states):
        workload = PREP if prep else JOB
        snapshot = Snapshot(
            prep=PREP if prep else DONE,
            training=None if prep else JOB,
            pods=(pod(workload, state),),
            log=lines,
        )
        check_status(status_json(judge(_RUN, observe(_RUN, snapshot), NOW)))
    return _drawn(lines)


def check_status(document: Raw) -> None:
    """The API server takes it, and nothing in it harms who reads it."""
    text = json.dumps(document, allow_nan=False)
    assert len(text) <= _MAX_STATUS
    STATUS_SCHEMA.validate(document)
    tail = document.get("failure", {}).pop("logTail", "")
    for line in tail.split("\n"):
        must_be_shown(line.replace("\t", " "), 2000)
    rest = [document]
    while rest:
        part = rest.pop()
        if isinstance(part, dict | list):
            rest += part.values() if isinstance(part, dict) else part
        elif isinstance(part, str):
            for line in part.split("\n"):  # of a refused spec each fault has its own
                must_be_shown(line, 2500)


def _drawn(lines: tuple[str, ...]) -> int:
    """The lines on a terminal and in a file."""
    screen, file = io.StringIO(), io.StringIO()
    terminal = Console(file=screen, width=100, no_color=True, force_terminal=False)
    for view in (PlainView(lambda text: print(text, file=file)), BarView(terminal)):
        printer = TextPrinter(view)
        for line in lines:
            printer.line(line, None)
        printer.close()
    for text in (screen.getvalue(), file.getvalue()):
        for line in text.split("\n"):
            assert line.isprintable(), f"{line!r:.500}"
    return len(file.getvalue())
