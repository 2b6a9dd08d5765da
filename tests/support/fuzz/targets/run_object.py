"""A run's whole object as the API server stores it: its spec, its status, what follows."""

import io
import json
from typing import Any, Final

from rich.console import Console

from qinstruct_operator.api.read_status import read_status
from qinstruct_operator.cli.cluster.runs import ClusterRun, RunDetail
from qinstruct_operator.cli.cluster.show_status import run_detail, runs_table
from qinstruct_operator.core.children import build_children
from qinstruct_operator.core.condition_list import is_finished
from qinstruct_operator.core.decide import decide, requeue_after
from qinstruct_operator.core.judge.judge import judge
from qinstruct_operator.core.judge.observe import Snapshot, observe
from qinstruct_operator.core.judge.transitions import transition_events
from qinstruct_operator.core.run import Run
from qinstruct_operator.errors import InvalidSpec
from qinstruct_operator.reconcile import status_json
from qinstruct_operator.settings import Settings
from support.fuzz.targets.event_line import check_status
from support.observed import NOW, claim, config_map, pod, running, snapshot_of, training
from support.status_cases.case import DONE, JOB, JOB_LOST, PREP

MEMORY: Final = 128 << 20
_SETTINGS: Final = Settings()
_CLAIMS: Final = {"x-output": claim(), "qinstruct-cache": claim("qinstruct-cache")}
_SNAPSHOTS: Final = (
    Snapshot(),
    snapshot_of(prep=PREP, pods=(pod(PREP, running()),), claims=_CLAIMS),
    snapshot_of(prep=DONE, config=config_map(), claims=_CLAIMS | {"x-output": None}),
    Snapshot(prep=DONE, training=JOB, pods=(pod(JOB, running()),)),
    Snapshot(prep=DONE, training=JOB_LOST, unread={"log": "no answer"}),
)
_MAX_CHILDREN: Final = 256 << 10


def run(content: bytes) -> object:
    """The phase of a run that has nothing yet."""
    document = _stored(content)
    if document is None:
        return None
    read = Run.read(document, _SETTINGS)
    if read.plan:
        children = build_children(read.plan, 1)
        size = len(json.dumps([child.manifest for child in children.support], allow_nan=False))
        assert size <= _MAX_CHILDREN
    for snapshot in _SNAPSHOTS:
        _pass(read, snapshot)
    _draw(document)
    if read.violations:
        raise InvalidSpec(read.violations)
    return read.status.phase


def _stored(content: bytes) -> dict[str, Any] | None:
    """As the server would store it: it takes no other numbers, and sets who it is itself."""
    try:
        document = json.loads(content, parse_constant=_refuse, parse_float=_double, parse_int=_long)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    metadata = document.get("metadata")
    own = training()["metadata"]
    document["metadata"] = {**(metadata if isinstance(metadata, dict) else {}), **own}
    return document


def _refuse(name: str) -> float:
    raise ValueError(name)


def _double(text: str) -> float:
    return float(text) if abs(float(text)) < 1e308 else _refuse(text)


def _long(text: str) -> float:
    return int(text) if len(text) < 19 else _double(text)


def _pass(read: Run, snapshot: Snapshot) -> None:
    seen = observe(read, snapshot)
    for action in decide(read, seen, NOW):
        json.dumps(action.child.manifest, allow_nan=False)
    status = judge(read, seen, NOW)
    for event in transition_events(read, status, NOW):
        assert len(event["message"]) <= 1024  # the API's limit
    wait = requeue_after(status, seen, _SETTINGS, NOW)
    assert wait is None or 0 < wait <= 60
    stored = json.loads(json.dumps(status_json(status), allow_nan=False))
    assert read_status({"status": stored}) == (status, ())
    if not is_finished(read.status):
        _check_new(stored, read)


def _check_new(stored: dict[str, Any], read: Run) -> None:
    """What is said anew; what is kept of the status before is as it was written."""
    before = status_json(read.status)
    check_status({key: value for key, value in stored.items() if value != before.get(key)})


def _draw(document: dict[str, Any]) -> None:
    screen = io.StringIO()
    console = Console(file=screen, width=100, no_color=True, force_terminal=False)
    shown = ClusterRun.of(document)
    console.print(runs_table([shown], NOW, namespaces=True))
    console.print(run_detail(RunDetail(shown, {}, ()), NOW, bar=True))
    for line in screen.getvalue().split("\n"):
        assert line.isprintable(), f"{line!r:.500}"
