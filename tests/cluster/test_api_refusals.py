"""Every bad document is refused: by a real API server, or else by the operator.

The table is that of local mode. Which layer refuses is written down here, so that a change of the
schema or of a rule that moves one shows.
"""

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import pytest
import yaml

from cluster.harness.api_request import DRY_RUN, STRICT, Answer, runs_path, send_request
from cluster.harness.control_plane import ControlPlane, KubectlError
from cluster.harness.testcluster import TestCluster
from qinstruct_operator.api.cel_rules import name_rules, spec_rules
from qinstruct_operator.cluster.connect import connect
from qinstruct_operator.cluster.port import Cluster, Resource
from qinstruct_operator.kinds import CLAIM, JOB, TRAINING
from qinstruct_operator.reconcile import Reconciler
from qinstruct_operator.settings import Settings
from support.bad_specs import BAD_SPECS
from support.kinds import PYTORCHJOB
from support.operator_documents import document

pytestmark = pytest.mark.cluster

NAMESPACE: Final = "refusals"
LONGEST_REASON: Final = 400

# kubectl does not even send these: without apiVersion and kind it knows no address, and JSON has
# no infinity.
BY_KUBECTL: Final = {
    "wrong apiVersion": 'no matches for kind "QInstructTraining" in version "qinstruct.dev/v1"',
    "no apiVersion": "apiVersion not set",
    "wrong kind": 'no matches for kind "Pod" in version "qinstruct.dev/v1alpha1"',
    "no kind": "kind not set",
    "infinite learning rate": "unsupported value: +Inf",
}
# The server drops a null before anything looks at it: to it, null is absent.
BY_NOBODY: Final = ("empty group",)
BY_OPERATOR: Final = (
    "label key longer than a label's",
    # Arithmetic of the plan's tables.
    "13B on two GPUs",
    "7B with a batch that does not fit",
    "7B without recomputation",
    "micro-batch that does not divide",
    "global batch that does not divide",
    "sequence shorter than an image",
    # Fields that exclude each other.
    "strict but not larger",
    "product but not larger",
    "own claim with a size",
    "output too small",
    "output on the cache",
    "output on one's own cache",
    "Equal without a key",
    "Exists with a value",
    "a value for Exists, of prep",
    "time for a taint that does not evict",
    "Tiny with flash attention",
    "prefix with flash-attn",
    "a first wait that is longer than the longest",
    "clean-up before another attempt",
    # Addresses.
    "revision of a folder",
    "model that is nothing",
    "web page",
    "bucket",
    "hub address",
    "path instead of address",
    "relative file address",
    "address with a password",
    "revision of a plain file",
    "source that after does not use",
    # Fields whose behaviour comes later.
    "two nodes",
    "push",
    "token",
    "TensorBoard",
    "Q-Bench",
    "a watchdog",
    "budget",
    "other backend",
    "patches",
)
BY_RULE: Final = (
    "long name",
    "name with a dot",
    "name starting with a digit",
    "misspelt source",
    "13B on 40 GB",
    "maxMissing without Drop",
    "micro-batch larger than the batch",
    "strict and a product label",
    "Tiny with GPUs",
    "Tiny with labels alone",
    "suspended in a queue",
)
# All others: types, bounds, choices, forms, and fields that it does not have.
BY_SCHEMA: Final = sorted(set(BAD_SPECS) - {*BY_KUBECTL, *BY_NOBODY, *BY_OPERATOR, *BY_RULE})
RULES: Final = {
    rule["message"] for rule in name_rules() + spec_rules() if "oldSelf" not in rule["rule"]
}


@pytest.fixture(scope="module")
def api(test_cluster: TestCluster) -> Iterator[ControlPlane]:
    test_cluster.create_namespace(NAMESPACE)
    yield test_cluster.api
    test_cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def create(api: ControlPlane, raw: dict[str, Any], *query: str) -> Answer:
    return send_request(api, "POST", f"{runs_path(NAMESPACE)}?{'&'.join((STRICT, *query))}", raw)


def faults(answer: Answer) -> list[tuple[str, str]]:
    """Field and reason of each fault, including those of strict decoding."""
    unknown = re.findall(r'unknown field "([^"]+)"', answer.content["message"])
    return answer.causes + [(field, "unknown field") for field in unknown]


def is_about(field: str, named: str) -> bool:
    """Whether the server names the field, a part of it, or the map that holds it."""
    entry_of = "." in named and field.startswith(f"{named}.")
    return f"{named}.".startswith(f"{field}.") or entry_of


@pytest.mark.parametrize("case", BY_KUBECTL)
def test_kubectl_refuses(api: ControlPlane, case: str) -> None:
    text = yaml.safe_dump(BAD_SPECS[case][0])
    with pytest.raises(KubectlError, match=re.escape(BY_KUBECTL[case])):
        api.kubectl("create", f"--namespace={NAMESPACE}", "-f", "-", stdin=text)


@pytest.mark.parametrize("case", BY_SCHEMA)
def test_the_schema_refuses(api: ControlPlane, case: str) -> None:
    raw, field, _ = BAD_SPECS[case]
    answer = create(api, raw, DRY_RUN)
    assert answer.code in (400, 422)
    assert_about_one_field(answer, field)


@pytest.mark.parametrize("case", BY_RULE)
def test_a_rule_refuses(api: ControlPlane, case: str) -> None:
    raw, field, _ = BAD_SPECS[case]
    answer = create(api, raw, DRY_RUN)
    assert answer.code == 422
    assert_about_one_field(answer, field)
    (message,) = broken_rules(answer)
    assert "; " in message, "the sentence names no way out"


def test_every_rule_refuses_something(api: ControlPlane) -> None:
    answers = [create(api, BAD_SPECS[case][0], DRY_RUN) for case in BY_RULE]
    assert set().union(*map(broken_rules, answers)) == RULES


def broken_rules(answer: Answer) -> set[str]:
    return {message for message in RULES for _, reason in answer.causes if message in reason}


def assert_about_one_field(answer: Answer, field: str) -> None:
    found = faults(answer)
    assert found
    for named, reason in found:
        assert is_about(field, named), f"{named}: {reason}"
        assert "\n" not in reason
        assert len(reason) <= LONGEST_REASON


@pytest.mark.parametrize("case", BY_OPERATOR)
def test_the_operator_refuses_what_the_server_stored(api: ControlPlane, case: str) -> None:
    raw, field, text = BAD_SPECS[case]
    name = f"run-{BY_OPERATOR.index(case)}"
    created = create(api, raw | {"metadata": {"name": name}})
    assert created.ok, created.content
    stored, made = asyncio.run(reconciled(api, name))
    assert stored["status"]["phase"] == "Rejected"
    assert stored["status"]["observedGeneration"] == stored["metadata"]["generation"]
    accepted = next(one for one in stored["status"]["conditions"] if one["type"] == "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "InvalidSpec")
    sentence = accepted["message"]
    assert sentence.startswith(field)
    assert text in sentence
    assert "; " in sentence, "the sentence names no way out"
    assert "\n" not in sentence
    assert made == []


async def reconciled(api: ControlPlane, name: str) -> tuple[Resource, list[str]]:
    """The run after one pass of the operator over it, and what that pass has created."""
    async with connect(kubeconfig=str(api.admin_kubeconfig)) as cluster:
        before = await children(cluster)
        await Reconciler(cluster, Settings(), lambda: datetime.now(UTC)).reconcile(NAMESPACE, name)
        run = await cluster.get(TRAINING, NAMESPACE, name)
        made = sorted(await children(cluster) - before)
    assert run is not None
    return run, made


async def children(cluster: Cluster) -> set[str]:
    """Kind and name of every child in the namespace."""
    return {
        f"{kind.kind} {child['metadata']['name']}"
        for kind in (JOB, CLAIM, PYTORCHJOB)
        for child in await cluster.list(kind, NAMESPACE)
    }


def test_the_server_treats_null_as_absent(api: ControlPlane) -> None:
    (case,) = BY_NOBODY
    with_null = create(api, BAD_SPECS[case][0], DRY_RUN)
    without = create(api, document(), DRY_RUN)
    assert with_null.ok
    assert with_null.content["spec"] == without.content["spec"]


def test_an_unknown_field_is_dropped_without_strict_validation(api: ControlPlane) -> None:
    """A client that does not ask for strictness, unlike kubectl, gets a warning only."""
    raw, _, _ = BAD_SPECS["misspelt field"]
    answer = send_request(
        api, "POST", f"{runs_path(NAMESPACE)}?{DRY_RUN}&fieldValidation=Warn", raw
    )
    assert answer.ok
    assert "learningrate" not in answer.content["spec"]["training"]
