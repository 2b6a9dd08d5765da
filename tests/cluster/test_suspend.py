"""A run that its user suspends and lets go on, on a real API server with its controllers.

What only a kubelet would write is played by kwok; the training-operator is the real one.
"""

import json
import shlex
from typing import Any, Final

import pytest

from cluster.clients.operator_process import Operator
from cluster.clients.runs import FOR_EVER, STEP, Runs, lines
from cluster.harness.control_plane import KubectlError
from cluster.harness.kwok import Behaviour
from qinstruct_operator.constants import LABEL_RUN
from support.readme import ROOT, shell_blocks

pytestmark = pytest.mark.cluster

SPEC: Final[dict[str, Any]] = {"size": "7B", "strategy": "after"}
SOON: Final = Behaviour(run_for="300ms")
SAVES: Final = Behaviour(run_for="100h", term_after="3s", term_exit_code=75)


def suspend(runs: Runs, name: str, suspend: bool) -> None:
    patch = json.dumps({"spec": {"suspend": suspend}})
    runs.kubectl("patch", "qit", name, "--type=merge", "--patch", patch)


def status(runs: Runs, name: str) -> dict[str, Any]:
    return runs.statuses(name)[-1]


def train(runs: Runs, name: str, life: Behaviour = SAVES) -> None:
    """Let a run come to its training."""
    runs.behave(name, "prep", SOON)
    runs.behave(name, "train", life, logs=lines({**STEP, "step": 430}))
    runs.apply(name, SPEC)
    runs.wait_phase(name, "Training", 90)


def told(runs: Runs, name: str) -> list[tuple[str, str]]:
    events = runs.get("events")
    mine = [each for each in events if each["involvedObject"]["name"] == name]
    return [(each["type"], each["reason"]) for each in mine]


def test_a_run_that_trains_frees_its_gpus_and_goes_on(runs: Runs) -> None:
    train(runs, "paused")
    suspend(runs, "paused", True)
    runs.wait("paused", "Running", "False", "Stopping")
    runs.wait_phase("paused", "Suspended")
    assert {each for each in runs.names("pods") if "paused-1" in each} == set()
    held = status(runs, "paused")
    assert held["attempt"] == 1
    assert not {"failure", "recovery", "node", "eta"} & set(held)
    assert held["progress"] == "43%"
    line = runs.kubectl("get", "qit", "paused", "--no-headers")
    assert "Suspended" in line
    suspend(runs, "paused", False)
    runs.wait_phase("paused", "Training")
    again = status(runs, "paused")
    assert again["attempt"] == 1
    assert not {"failure", "recovery"} & set(again)
    assert {("Normal", "Suspended"), ("Normal", "Resumed")} <= set(told(runs, "paused"))
    runs.end_pod("paused", "train")
    runs.wait_phase("paused", "Complete")
    assert runs.names("pytorchjobs") == {"PyTorchJob/paused-1"}


def test_the_commands_of_the_page(runs: Runs) -> None:
    page = (ROOT / "docs" / "recovery.md").read_text("utf-8")
    (commands,) = shell_blocks(page)
    train(runs, "run-13b-after")
    for command in commands:
        kubectl, *arguments = shlex.split(command)
        assert kubectl == "kubectl"
        runs.kubectl(*arguments)
    runs.wait_phase("run-13b-after", "Training")
    told_of = told(runs, "run-13b-after")
    assert {("Normal", "Suspended"), ("Normal", "Resumed")} <= set(told_of)


def test_it_goes_on_only_when_its_pod_is_gone(runs: Runs) -> None:
    """Training Operator 1.9 fails a PyTorchJob that goes on while a pod of it is still ending."""
    train(runs, "hasty", Behaviour(run_for="100h", term_after="8s", term_exit_code=75))
    (first,) = (one for one in runs.get("pods") if one["metadata"]["name"] == "hasty-1-master-0")
    suspend(runs, "hasty", True)
    runs.wait("hasty", "Running", "False", "Stopping")
    suspend(runs, "hasty", False)
    message = runs.wait("hasty", "Running", "False", "Stopping")
    runs.wait_phase("hasty", "Training")
    (second,) = (one for one in runs.get("pods") if one["metadata"]["name"] == "hasty-1-master-0")
    assert first["metadata"]["uid"] != second["metadata"]["uid"]
    assert status(runs, "hasty")["attempt"] == 1
    said = [
        each["message"]
        for one in runs.statuses("hasty")
        for each in one["conditions"]
        if each["type"] == "Running" and each["status"] == "False"
    ]
    assert any(
        each.endswith("hasty-1 was suspended, and goes on when hasty-1-master-0 is gone")
        for each in said
    ), (message, said)
    assert runs.names("pytorchjobs") == {"PyTorchJob/hasty-1"}


def test_what_is_suspended_before_it_begins_is_not_made(runs: Runs) -> None:
    runs.apply("early", SPEC | {"suspend": True})
    message = runs.wait("early", "Prepared", "False", "Suspended")
    assert message == "held while spec.suspend is true; then the prep Job is being created"
    assert runs.names("jobs,pytorchjobs,pvc") == set()
    suspend(runs, "early", False)
    runs.wait_phase("early", "Complete", 90)


def test_preparation_is_suspended_as_well(runs: Runs) -> None:
    runs.behave("fetching", "prep", FOR_EVER)
    runs.behave("fetching", "train", SOON)
    runs.apply("fetching", SPEC)
    runs.wait_phase("fetching", "Preparing")
    suspend(runs, "fetching", True)
    runs.wait_phase("fetching", "Suspended")
    runs.kubectl("wait", "--for=delete", "pod", f"--selector={LABEL_RUN}=fetching")
    runs.behave("fetching", "prep", SOON)
    suspend(runs, "fetching", False)
    runs.wait_phase("fetching", "Complete", 90)
    assert "recovery" not in status(runs, "fetching")
    (job,) = runs.get("jobs")
    assert "failed" not in job["status"], "being suspended costs none of its retries"


def test_the_operator_is_away_when_it_is_suspended(runs: Runs, operator: Operator) -> None:
    train(runs, "alone")
    operator.kill()
    suspend(runs, "alone", True)
    operator.start()
    runs.wait_phase("alone", "Suspended")
    operator.kill()
    suspend(runs, "alone", False)
    operator.start()
    runs.wait_phase("alone", "Training")
    assert status(runs, "alone")["attempt"] == 1


def test_a_failed_attempt_waits_for_its_user(runs: Runs) -> None:
    fails = Behaviour(run_for="1s", exit_code=71)
    runs.behave("failed", "prep", SOON)
    runs.cluster.kwok.behave("failed", "train", fails, namespace=runs.namespace, attempt=1)
    runs.apply("failed", SPEC | {"recovery": {"backoffSeconds": 30}})
    runs.wait_phase("failed", "Recovering", 90)
    suspend(runs, "failed", True)
    message = runs.wait("failed", "Scheduled", "False", "Suspended")
    assert message.startswith("held while spec.suspend is true; then attempt 2 begins at ")
    suspend(runs, "failed", False)
    runs.wait_phase("failed", "Complete", 90)
    assert status(runs, "failed")["attempt"] == 2


def test_a_run_in_a_queue_is_kueues(runs: Runs) -> None:
    runs.behave("queued", "prep", FOR_EVER)
    runs.apply("queued", SPEC | {"scheduling": {"queueName": "gpus"}})
    with pytest.raises(KubectlError, match=r"spec\.suspend: .*set spec\.active of the run's Kueue"):
        suspend(runs, "queued", True)
    suspend(runs, "queued", False)


def test_a_run_that_has_ended_stays_as_it_is(runs: Runs) -> None:
    runs.apply("over", SPEC)
    runs.wait_phase("over", "Complete", 90)
    before = status(runs, "over")
    suspend(runs, "over", True)
    runs.kubectl("wait", "--for=jsonpath={.status.observedGeneration}=2", "qit/over")
    assert status(runs, "over")["phase"] == before["phase"]
    assert told(runs, "over").count(("Normal", "Suspended")) == 0
    runs.kubectl("delete", "qit", "over")
