"""What `kubectl get qit` shows of runs on a real API server."""

from collections.abc import Iterator
from typing import Any, Final

import pytest

from cluster.harness.api_request import runs_path, send_request
from cluster.harness.control_plane import ControlPlane
from cluster.harness.testcluster import TestCluster
from qinstruct_operator.api.status import CheckpointStatus, Status, TrainingStatus
from qinstruct_operator.constants import CONDITION_PREPARED, CONDITION_RUNNING, CONDITION_SCHEDULED
from qinstruct_operator.core.judge.progress import eta_text
from qinstruct_operator.core.judge.reasons import REASONS
from qinstruct_operator.reconcile import status_json
from support.operator_documents import document

pytestmark = pytest.mark.cluster

NAMESPACE: Final = "columns"
TERMINAL: Final = 120
LONGEST_AGE: Final = len("7d23h")  # of a run younger than two years
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
    created = send_request(api, "POST", runs_path(NAMESPACE), run).content
    path = runs_path(NAMESPACE, run["metadata"]["name"], "status")
    assert send_request(api, "PUT", path, created | {"status": status}).ok


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
