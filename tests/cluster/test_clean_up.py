"""What spec.scheduling.ttlSecondsAfterFinished deletes is not missed, on a real API server.

The real training-operator deletes it; what only a kubelet would write is played by kwok.
"""

import json
from typing import Any, Final

import pytest

from cluster.clients.runs import Runs
from cluster.harness.kwok import Behaviour
from cluster.harness.processes import wait_until

pytestmark = pytest.mark.cluster

SPEC: Final[dict[str, Any]] = {
    "size": "7B",
    "strategy": "after",
    "recovery": {"backoffSeconds": 1, "maxBackoffSeconds": 1},
    "scheduling": {"ttlSecondsAfterFinished": 61},
}

KEPT: Final = {"scheduling": {"ttlSecondsAfterFinished": 660}}


def suspend(runs: Runs, wish: bool) -> None:
    patch = json.dumps({"spec": {"suspend": wish}})
    runs.kubectl("patch", "qit", "held", "--type=merge", f"--patch={patch}")


def training(runs: Runs) -> set[str]:
    return {name.partition("/")[2] for name in runs.names("pytorchjobs")}


def test_what_has_ended_goes_and_nothing_is_made_again(runs: Runs) -> None:
    runs.behave("good", "train")
    runs.behave("good", "train", Behaviour(exit_code=71), attempt=1)
    runs.behave("bad", "train", Behaviour(exit_code=78))
    for name in ("good", "bad"):
        runs.apply(name, SPEC)
    runs.wait_phase("good", "Complete", 120)
    runs.wait_phase("bad", "Failed", 120)
    assert {"good-2", "bad-1"} <= training(runs)
    ended = {name: runs.statuses(name)[-1] for name in ("good", "bad")}
    wait_until(lambda: not training(runs), "the PyTorchJobs are deleted", 180)
    assert runs.names("jobs") == {"Job/good-prep", "Job/bad-prep"}
    for name in ("good", "bad"):
        runs.kubectl("annotate", "qit", name, "touched=yes")
    runs.behave("other", "train")
    runs.apply("other", SPEC)
    runs.wait_phase("other", "Complete", 90)  # the operator has had its turn
    assert training(runs) == {"other-1"}
    assert {name: runs.statuses(name)[-1] for name in ended} == ended


def test_an_attempt_that_is_deleted_before_the_next_one_counts_as_it_did(runs: Runs) -> None:
    """The run is suspended meanwhile, for longer than what has failed is kept."""
    runs.behave("held", "train")
    runs.behave("held", "train", Behaviour(exit_code=71), attempt=1)
    runs.apply("held", SPEC | {"recovery": {"maxRetries": 1, "backoffSeconds": 20}, **KEPT})
    runs.wait("held", "Scheduled", "False", "Recovering", 90)
    suspend(runs, True)
    shorter = json.dumps({"spec": {"runPolicy": {"ttlSecondsAfterFinished": 1}}})
    runs.kubectl("patch", "pytorchjob", "held-1", "--type=merge", f"--patch={shorter}")
    wait_until(lambda: not training(runs), "the PyTorchJob is deleted", 60)
    runs.wait("held", "Scheduled", "False", "Suspended")
    suspend(runs, False)
    runs.wait_phase("held", "Complete", 90)
    (second,) = runs.get("pytorchjobs")
    assert second["metadata"]["annotations"]["qinstruct.dev/retries"] == "1"
    (failure,) = runs.statuses("held")[-1]["recovery"]["failures"]
    assert (failure["kind"], failure["reason"]) == ("Transient", "GpuFailed")
