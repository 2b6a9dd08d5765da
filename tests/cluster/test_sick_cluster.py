"""A cluster that refuses: a webhook that does not answer, and each right of the operator missing.

Within thirty seconds the refusal is in the condition that depends on it, in the server's words, and
what was known is still there; once the cause is gone the run goes on by itself.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from cluster.clients.operator_process import Operator
from cluster.clients.runs import FOR_EVER, Runs, lines
from cluster.harness.control_plane import KubectlError
from cluster.harness.kwok import Behaviour
from cluster.harness.processes import wait_until
from cluster.harness.testcluster import TestCluster

pytestmark = pytest.mark.cluster

SPEC: Final = {"size": "7B", "strategy": "after"}
ROLE: Final = "qinstruct-operator"
START: Final = {"event": "start", "step": 0, "steps": 1000, "world_size": 8, "num_records": 1,
                "parameters": 1, "trainable": 1, "device": "cuda"}  # fmt: skip


def wait_message(runs: Runs, name: str, type_: str, *texts: str) -> tuple[str, str]:
    """Wait until a condition's message has these texts; its status and reason."""

    def says() -> bool:
        message = runs.condition(name, type_).get("message", "")
        return all(text in message for text in texts)

    wait_until(says, f"{name}: {type_} says {texts}", 30)
    found = runs.condition(name, type_)
    return found["status"], found["reason"]


def complete(runs: Runs, name: str) -> None:
    runs.wait_phase(name, "Complete", 120)
    assert "unread" not in runs.statuses(name)[-1]


@contextmanager
def unreachable_webhook(runs: Runs, group: str, version: str, resource: str) -> Iterator[None]:
    """An admission webhook for one resource in the namespace of the runs, where nobody listens."""
    namespace = {"kubernetes.io/metadata.name": runs.namespace}
    webhook = {
        "name": "nobody.qinstruct.dev",
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "rules": [
            {
                "apiGroups": [group],
                "apiVersions": [version],
                "resources": [resource],
                "operations": ["CREATE", "UPDATE"],
            }
            # Secrets as well, of which a run has none: they show when it is in force.
            for group, version, resource in ((group, version, resource), ("", "v1", "secrets"))
        ],
        "namespaceSelector": {"matchLabels": namespace},
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 2,
    }
    name = f"{runs.namespace}-{resource.replace('/', '-')}"
    configuration = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [webhook],
    }
    runs.kubectl("apply", "-f", "-", stdin=json.dumps(configuration))
    try:
        wait_until(lambda: is_secret_refused(runs), "the webhook is in force", 30)
        yield
    finally:
        runs.kubectl("delete", "validatingwebhookconfiguration", name)


def is_secret_refused(runs: Runs) -> bool:
    try:
        runs.kubectl("create", "secret", "generic", "probe", "--dry-run=server")
    except KubectlError:
        return True
    return False


WEBHOOKS: Final = {
    "configmaps": ("", "v1", "Prepared"),
    "persistentvolumeclaims": ("", "v1", "Prepared"),
    "jobs": ("batch", "v1", "Prepared"),
    "pytorchjobs": ("kubeflow.org", "v1", "Scheduled"),
}


@pytest.mark.parametrize("resource", WEBHOOKS)
def test_a_webhook_of_a_child_does_not_answer(runs: Runs, resource: str) -> None:
    group, version, type_ = WEBHOOKS[resource]
    with unreachable_webhook(runs, group, version, resource):
        runs.apply("held", SPEC)
        message = runs.wait("held", type_, "False", "Refused", 60 if type_ == "Scheduled" else 30)
        assert "failed calling webhook" in message
        assert "nobody.qinstruct.dev" in message
        assert runs.condition("held", "Accepted")["status"] == "True"
        prepared = runs.condition("held", "Prepared")["status"]
        assert prepared == ("True" if type_ == "Scheduled" else "False")
        told = [(one["type"], one["reason"]) for one in runs.get("events")]
        assert ("Warning", "Refused") in told
    complete(runs, "held")


def test_a_webhook_of_events_does_not_answer(runs: Runs) -> None:
    with unreachable_webhook(runs, "", "v1", "events"):
        runs.apply("held", SPEC)
        runs.wait_phase("held", "Complete", 120)
    assert [one for one in runs.get("events") if one["involvedObject"]["name"] == "held"] == []


@contextmanager
def without(cluster: TestCluster, verb: str, resource: str) -> Iterator[None]:
    """Take one right from the operator's ClusterRole."""
    role = json.loads(cluster.kubectl("get", "clusterrole", ROLE, "-o", "json"))
    del role["metadata"]["resourceVersion"]
    fewer = json.loads(json.dumps(role))
    (rule,) = (each for each in fewer["rules"] if each["resources"] == [resource])
    rule["verbs"].remove(verb)
    fewer["rules"] = [each for each in fewer["rules"] if each["verbs"]]
    cluster.kubectl("replace", "-f", "-", stdin=json.dumps(fewer))
    try:
        yield
    finally:
        cluster.kubectl("replace", "-f", "-", stdin=json.dumps(role))


# The right, the condition that names its absence, and what that condition is then.
HELD: Final = [
    ("create", "configmaps", "Prepared", ("False", "Refused")),
    ("create", "persistentvolumeclaims", "Prepared", ("False", "Refused")),
    ("create", "jobs", "Prepared", ("False", "Refused")),
    ("get", "jobs", "Prepared", ("False", "Pending")),
    ("list", "pods", "Prepared", ("False", "Unreadable")),
    ("get", "configmaps", "Scheduled", ("False", "Unreadable")),
    ("get", "persistentvolumeclaims", "Prepared", ("False", "Unreadable")),
    ("patch", "configmaps", "Scheduled", ("False", "Refused")),
    ("get", "pytorchjobs", "Prepared", ("Unknown", "Unreadable")),
    ("create", "pytorchjobs", "Scheduled", ("False", "Refused")),
    ("get", "pods/log", "Running", ("True", "Unreadable")),
]


@pytest.mark.parametrize(("verb", "resource", "type_", "want"), HELD)
def test_a_right_is_missing(
    test_cluster: TestCluster,
    runs: Runs,
    verb: str,
    resource: str,
    type_: str,
    want: tuple[str, str],
) -> None:
    runs.behave("held", "train", Behaviour(run_for="20s"), logs=lines(START))
    if type_ == "Scheduled":
        runs.behave("held", "prep", Behaviour(run_for="5s" if verb == "patch" else "2s"))
    with without(test_cluster, verb, resource):
        runs.apply("held", SPEC)
        if verb == "patch":  # a ConfigMap is applied again where the spec has changed
            runs.wait_phase("held", "Preparing")
            edit = '--patch={"spec":{"checkpoint":{"everyMinutes":7}}}'
            runs.kubectl("patch", "qit", "held", "--type=merge", edit)
        found = wait_message(
            runs, "held", type_, f'cannot {verb} resource "{resource}"', "forbidden"
        )
        assert found == want
        # A name that is taken and a claim that is another's must be known before the preparation.
        is_name_unknown = verb == "get" and resource in ("pytorchjobs", "persistentvolumeclaims")
        accepted = "Unknown" if is_name_unknown else "True"
        assert runs.condition("held", "Accepted")["status"] == accepted
        if type_ != "Prepared":
            assert runs.condition("held", "Prepared")["status"] == "True"
    complete(runs, "held")


def test_without_the_right_to_list_events_a_wait_says_so(
    test_cluster: TestCluster, runs: Runs
) -> None:
    runs.kubectl("create", "quota", "no-pods", "--hard=pods=0")
    with without(test_cluster, "list", "events"):
        runs.apply("held", SPEC)
        assert wait_message(
            runs, "held", "Prepared", "has no pod yet", 'cannot list resource "events"'
        ) == ("False", "Pending")
    runs.wait("held", "Prepared", "False", "PodRefused", 40)
    with without(test_cluster, "list", "events"):  # and what was known is kept
        assert wait_message(
            runs, "held", "Prepared", "exceeded quota", 'cannot list resource "events"'
        ) == ("False", "PodRefused")
    runs.kubectl("delete", "quota", "no-pods")
    complete(runs, "held")


def test_without_the_right_to_post_events_a_run_has_its_status(
    test_cluster: TestCluster, runs: Runs, operator: Operator
) -> None:
    with without(test_cluster, "create", "events"):
        runs.apply("held", SPEC)
        runs.wait_phase("held", "Complete", 120)
    assert 'cannot create resource "events"' in operator.log


@pytest.mark.parametrize(
    ("verb", "resource"), [("update", "qinstructtrainings/status"), ("get", "qinstructtrainings")]
)
def test_without_the_right_to_the_run_itself_the_log_says_so_once(
    test_cluster: TestCluster, runs: Runs, operator: Operator, verb: str, resource: str
) -> None:
    said = f'cannot {verb} resource "{resource}"'

    def sentences() -> list[str]:
        return [
            line for line in operator.log.splitlines() if said in line and runs.namespace in line
        ]

    with without(test_cluster, verb, resource):
        runs.apply("held", SPEC)
        wait_until(lambda: bool(sentences()), f"the log says: {said}", 30)
        not_ready = [why for why in operator.why_not_ready() if f"{runs.namespace}/held" in why]
        assert [said in why for why in not_ready] == [True]
        assert runs.statuses("held") == []
        for _ in range(3):  # each is a pass
            runs.kubectl("label", "qit", "held", "--overwrite", f"touched={_}")
    complete(runs, "held")
    assert len(sentences()) == 1
    assert not any(runs.namespace in why for why in operator.why_not_ready())


def test_a_run_that_trains_is_known_to_train_whatever_cannot_be_read(
    test_cluster: TestCluster, runs: Runs
) -> None:
    step = {"event": "step", "step": 43, "steps": 1000, "loss": 1.25, "learning_rate": 2e-5,
            "gradient_norm": 1.0, "tokens": 100, "seconds": 10.0, "samples_per_second": 1.0,
            "tokens_per_second": 10.0, "eta_seconds": 8100.0, "memory_bytes": 1}  # fmt: skip
    runs.behave("busy", "train", FOR_EVER, logs=lines(START, step))
    runs.apply("busy", SPEC)
    runs.wait_phase("busy", "Training", 90)
    before = runs.statuses("busy")[-1]
    for verb, resource, what in (
        ("get", "pods/log", "log"),
        ("list", "pods", "pods"),
        ("get", "pytorchjobs", "training"),
    ):
        with without(test_cluster, verb, resource):
            wait_message(runs, "busy", "Running", f'cannot {verb} resource "{resource}"')
            status = runs.statuses("busy")[-1]
            assert [each["what"] for each in status["unread"]] == [what]
            for key in ("phase", "eta", "progress", "node", "training"):
                assert status[key] == before[key]
        wait_until(lambda: "unread" not in runs.statuses("busy")[-1], "it is read again", 40)
    phases = [each.get("phase") for each in runs.statuses("busy")]
    assert phases.count("Loading") <= phases.index("Training")
    assert set(phases[phases.index("Training") :]) == {"Training"}
    told = [one["reason"] for one in runs.get("events") if one["involvedObject"]["name"] == "busy"]
    assert told.count("Training") == 1
    runs.end_pod("busy", "train")
    complete(runs, "busy")
