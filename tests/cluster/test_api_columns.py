"""What `kubectl get qit` shows of runs on a real API server: each column, and ten situations."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest

from cluster.harness.api_request import runs_path, send_request
from cluster.harness.control_plane import ControlPlane
from cluster.harness.testcluster import TestCluster
from qinstruct_operator.api.status import CheckpointStatus, Status, TrainingStatus
from qinstruct_operator.constants import CONDITION_PREPARED, CONDITION_RUNNING, CONDITION_SCHEDULED
from qinstruct_operator.core.judge.observe import Snapshot
from qinstruct_operator.core.judge.progress import eta_text
from qinstruct_operator.core.judge.reasons import REASONS
from qinstruct_operator.errors import InvalidSpec, Violation
from qinstruct_operator.reconcile import status_json
from support.observed import (
    condition,
    ended,
    failed_event,
    lines,
    plan,
    pod,
    running,
    status_of,
)
from support.operator_documents import ROOT, document
from support.status_cases import disturbed, prep, training
from support.status_cases.case import JOB, JOB_LOST, NO, TRAINING_LOG, Case, of_training

pytestmark = pytest.mark.cluster

NAMESPACE: Final = "columns"
TERMINAL: Final = 120
LONGEST_AGE: Final = len("7d23h")  # of a run younger than two years
GOLDEN: Final = ROOT / "tests" / "golden" / "status" / "kubectl-get.txt"
COLUMNS: Final = [
    "NAME",
    "MODEL",
    "STRATEGY",
    "PHASE",
    "PROGRESS",
    "ETA",
    "ATTEMPT",
    "QUEUE",
    "AGE",
]
WIDE_COLUMNS: Final = [
    *COLUMNS[:-1],
    "LOSS",
    "GPU-H",
    "GOODPUT",
    "CHECKPOINT",
    "RESTARTS",
    "NODE",
    "AGE",
]


@pytest.fixture(scope="module")
def api(test_cluster: TestCluster) -> Iterator[ControlPlane]:
    test_cluster.create_namespace(NAMESPACE)
    yield test_cluster.api
    test_cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def create(api: ControlPlane, run: dict[str, Any], status: dict[str, Any]) -> None:
    """A run, and what the operator says of it."""
    created = send_request(api, "POST", runs_path(NAMESPACE), run)
    assert created.ok, created.content
    path = runs_path(NAMESPACE, run["metadata"]["name"], "status")
    assert send_request(api, "PUT", path, created.content | {"status": status}).ok


def longest_row() -> Status:
    """A status with the longest value in every column but the phase."""
    return Status(
        progress="extract 100%",
        eta=eta_text(24 * 3600 - 1),
        attempt=12,
        queue="q-instruct-a100-80gb-x08",
        node="gpu-80-0.example.internal",
        gpu_hours=167.52,
        goodput="93%",
        training=TrainingStatus(loss=0.7712, restarts=2),
        checkpoint=CheckpointStatus(step=5200, time="2026-11-24T11:15:59Z"),
    )


def test_the_columns_fit_into_a_terminal(api: ControlPlane) -> None:
    row = longest_row()
    assert row.eta == "23h59m"
    assert row.queue is not None
    assert len(row.queue) == 24
    # As `phase` makes them: why a run failed is no phase.
    shown = (CONDITION_PREPARED, CONDITION_SCHEDULED, CONDITION_RUNNING)
    said = (REASONS[each] for each in shown)
    phases = sorted({"Rejected", "Complete", "Failed"}.union(*said))
    for index, phase in enumerate(phases):
        run = document(f"run-13b-{index:05}", "13B")
        create(api, run, status_json(row.model_copy(update={"phase": phase})))
    listed = api.kubectl("get", "qit", f"--namespace={NAMESPACE}").splitlines()
    heading, rows = listed[0].split(), [line for line in listed[1:] if line.startswith("run-13b-")]
    assert heading == COLUMNS
    assert [line.split()[3] for line in rows] == phases
    for line in rows:
        name, model, strategy, phase, *progress, eta, attempt, queue, age = line.split()
        assert (model, strategy, " ".join(progress)) == ("13B", "after", row.progress)
        assert (eta, attempt, queue) == (row.eta, str(row.attempt), row.queue)
        assert len(name) == len("run-13b-after")
        assert len(line.rstrip()) - len(age) + LONGEST_AGE <= TERMINAL, phase


def test_wide_columns_say_more(api: ControlPlane) -> None:
    create(api, document("wide"), status_json(longest_row()))
    wide = ("get", "qit", "wide", f"--namespace={NAMESPACE}", "--output=wide")
    heading, line = (line.split() for line in api.kubectl(*wide).splitlines())
    assert heading == WIDE_COLUMNS
    assert line[-7:-1] == ["0.7712", "167.52", "93%", "5200", "2", "gpu-80-0.example.internal"]


TRAINS: Final = of_training(JOB, pod(JOB, running()), log=TRAINING_LOG)
CASES: Final = prep.CASES | training.CASES | disturbed.CASES
NO_NODE: Final = (
    "0/3 nodes are available: 1 node(s) had untolerated taint {nvidia.com/gpu: present}, 2 "
    "Insufficient nvidia.com/gpu."
)
PREEMPTED: Final = condition(
    "DisruptionTarget", "PreemptionByScheduler", "preempting to accommodate a higher priority pod"
)
BAD_DATA: Final = failed_event(
    "BadData", "record 1,207 of labels.json has no image; correct it, or leave it out", 65
)
FAULTY: Final[dict[str, Any]] = {"training": {"globalBatchSize": 100}}


def faults(spec: dict[str, Any]) -> tuple[Violation, ...]:
    """What is wrong with a spec."""
    with pytest.raises(InvalidSpec) as raised:
        plan(**spec)
    return raised.value.violations


# Each is a run of this name in the table.
SITUATIONS: Final[dict[str, Case]] = {
    "rejected": Case(Snapshot(), "Rejected", {}, violations=faults(FAULTY)),
    "prepares": CASES["prep runs"],
    "queued": CASES["the PyTorchJob waits in its queue"],
    "no-node": Case(
        of_training(
            JOB, pod(JOB, None, condition("PodScheduled", message=NO_NODE, status=NO), node=None)
        ),
        "Unschedulable",
        {},
    ),
    "trains": CASES["it trains"],
    "restarts": CASES["its ranks are started again in place"],
    "node-lost": CASES["its node has gone silent"],
    "recovers": Case(
        of_training(JOB_LOST, pod(JOB_LOST, ended(143), PREEMPTED), log=TRAINING_LOG),
        "Recovering",
        {},
        previous=TRAINS,
    ),
    "failed": Case(
        of_training(JOB_LOST, pod(JOB_LOST, ended(65)), log=lines(BAD_DATA)), "Failed", {}
    ),
    "complete": CASES["complete"],
}
_TYPES: Final = {"Rejected": "Accepted", "Failed": "Failed", "Complete": "Complete"}


def test_what_is_seen_of_runs_in_ten_situations(api: ControlPlane, update_golden: bool) -> None:
    """The table, and of each run the message that says what goes on and what to do."""
    for name, case in SITUATIONS.items():
        before = status_of(case.previous) if case.previous else None
        status = status_of(case.snapshot, before, violations=case.violations)
        assert status.phase == case.phase
        # The objects of a case are those of a run that is called x.
        said = re.sub(r"\bx-(?=\d|prep|output)", f"{name}-", json.dumps(status_json(status)))
        create(api, document(name, **FAULTY if case.violations else {}), json.loads(said))
    where = f"--namespace={NAMESPACE}"
    table = api.kubectl("get", "qit", where, *SITUATIONS)
    shown = [re.sub(r"(\d+[smh])+$", "9s", line) for line in table.splitlines()]
    runs = json.loads(api.kubectl("get", "qit", where, "--output=json", *SITUATIONS))["items"]
    assert max(map(len, shown)) - len("9s") + LONGEST_AGE <= TERMINAL
    messages = [f"{run['metadata']['name']}: {_message(run['status'])}" for run in runs]
    text = "\n".join((*shown, "", *messages, ""))
    if update_golden:
        GOLDEN.write_text(text, "utf-8")
    assert text == GOLDEN.read_text("utf-8")


def _message(status: dict[str, Any]) -> str:
    """Of the condition that the phase is the reason of."""
    type_ = _TYPES.get(status["phase"])
    return next(
        str(each["message"])
        for each in status["conditions"]
        if (each["type"] == type_ if type_ else each["reason"] == status["phase"])
    )
