"""Tests of what an installation lets a run ask for."""

from typing import Any

import pytest

from qinstruct_operator.api.parse import parse
from qinstruct_operator.core.plan.allowed import allowed_violations
from qinstruct_operator.core.plan.make import make_plan
from qinstruct_operator.errors import InvalidSpec
from qinstruct_operator.settings import Settings
from support.operator_documents import document

GROUPS = ("prep", "scheduling")


def fields(group: str, asked: dict[str, Any], settings: Settings | None = None) -> list[str]:
    raw = document()
    raw["spec"][group] = asked
    spec = parse(raw).spec
    return [one.field for one in allowed_violations(spec, settings or Settings())]


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize(
    ("name", "patterns", "is_allowed"),
    [
        ("high", "*", True),
        ("high", "team-*, high", True),
        ("team-b-high", "team-?-*", True),
        ("high", "team-*", False),
        ("high", "-", False),
        ("high-2", "high", False),
        ("system-cluster-critical", "*", False),
        ("system-node-critical", "system-node-critical", False),
        ("my-system-critical", "*", True),
    ],
)
def test_priority_classes(group: str, name: str, patterns: str, is_allowed: bool) -> None:
    found = fields(group, {"priorityClassName": name}, Settings(priority_classes=patterns))
    assert found == ([] if is_allowed else [f"spec.{group}.priorityClassName"])


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("operator", ["Exists", "Equal"])
@pytest.mark.parametrize(
    ("key", "patterns", "is_allowed"),
    [
        ("nvidia.com/gpu", "*", True),
        ("sku", "nvidia.com/*,sku", True),
        ("sku", "nvidia.com/*", False),
        ("sku", "-", False),
        ("node.kubernetes.io/unreachable", "*", True),
        ("node-role.kubernetes.io/control-plane", "*", False),
        ("node-role.kubernetes.io/master", "*,nvidia.com/*", False),
        ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/worker", False),
        ("node-role.kubernetes.io/control-plane", "*,node-role.kubernetes.io/*", True),
        ("CriticalAddonsOnly", "*", False),
        ("CriticalAddonsOnly", "*,CriticalAddonsOnly", True),
        ("CriticalAddonsOnly", "*,node-role.kubernetes.io/*", False),
        ("node-role.kubernetes.io/control-plane", "*,n*,?*,[a-z]*", False),
        ("node-role.kubernetes.io/control-plane", "*,node.kubernetes.io/*", False),
        ("node.kubernetes.io/unschedulable", "*", False),
        ("node.kubernetes.io/unschedulable", "*,node-role.kubernetes.io/*", False),
        ("node.kubernetes.io/unschedulable", "*,node.kubernetes.io/unschedulable", True),
        ("node.kubernetes.io/disk-pressure", "*", False),
        ("node.kubernetes.io/out-of-service", "*,node.*", False),
        ("node.kubernetes.io/not-ready", "*", True),
        ("node.cloudprovider.kubernetes.io/uninitialized", "*", False),
    ],
)
def test_taints(group: str, operator: str, key: str, patterns: str, is_allowed: bool) -> None:
    asked = {"tolerations": [{"key": "ok"}, {"key": key, "operator": operator}]}
    found = fields(group, asked, Settings(tolerated_taints=f"ok,{patterns}"))
    assert found == ([] if is_allowed else [f"spec.{group}.tolerations[1].key"])


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("effect", [{}, {"effect": "NoSchedule"}, {"effect": "NoExecute"}])
def test_no_run_tolerates_every_taint(group: str, effect: dict[str, str]) -> None:
    asked = {"tolerations": [{"operator": "Exists"} | effect]}
    assert fields(group, asked) == [f"spec.{group}.tolerations[0].key"]


SPELLINGS: list[tuple[str, object]] = [
    *(
        ("priorityClassName", name)
        for name in (
            "System-node-critical",
            "SYSTEM-NODE-CRITICAL",
            "system-node-critical\n",
            " system-node-critical",
            "system-node-critical\u200b",
            "\uff53ystem-node-critical",
            "",
            ["system-node-critical"],
        )
    ),
    *(
        ("tolerations", [toleration])
        for toleration in (
            {},
            {"operator": "Equal"},
            {"operator": "Exists", "key": None},
            {"operator": "Exists", "key": ""},
            {"operator": "Exists", "effect": ""},
            {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 3600},
            {"operator": "Exists", "value": ""},
            {"operator": "exists"},
            {"operator": "Gt", "key": "a", "value": "1"},
            {"operator": "Exists", "key": "*"},
            {"operator": "Exists", "key": "node-role.kubernetes.io/control-plane\n"},
            {"operator": "Exists", "key": "Node-Role.kubernetes.io/control-plane"},
            {"operator": "Exists", "key": "node-role.kubernetes.io/control-plane/"},
            {"key": "a", "effect": "NoSchedule", "tolerationSeconds": 1},
            {"key": "a", "tolerationSeconds": -1},
        )
    ),
    ("tolerations", [{"key": "a"}] * 17),
    ("tolerations", {"operator": "Exists"}),
    ("priority", 2_000_000_000),
    ("priorityClass", "system-node-critical"),
    ("runtimeClassName", "privileged"),
    ("serviceAccountName", "admin"),
    ("hostNetwork", True),
    ("nodeName", "control-plane"),
    ("preemptionPolicy", "PreemptLowerPriority"),
    ("nodeSelector", {"node-role.kubernetes.io/control-plane\n": ""}),
]


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize(("field", "value"), SPELLINGS)
def test_no_other_spelling_gets_through(group: str, field: str, value: object) -> None:
    raw = document()
    raw["spec"][group] = {field: value}
    with pytest.raises(InvalidSpec) as refused:
        make_plan(parse(raw), Settings())
    for sentence in str(refused.value).splitlines():
        assert sentence.isprintable()
        assert sentence.startswith(f"spec.{group}.")


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (
            {"priorityClassName": "urgent"},
            "spec.prep.priorityClassName urgent: is not allowed by this installation "
            "(QINSTRUCT_PRIORITY_CLASSES=low,high); use one that is, or ask whoever runs the "
            "operator",
        ),
        (
            {"priorityClassName": "system-node-critical"},
            "spec.prep.priorityClassName system-node-critical: is the system's own, and never a "
            "run's; use another one",
        ),
        (
            {"tolerations": [{"key": "node-role.kubernetes.io/etcd"}]},
            "spec.prep.tolerations[0].key node-role.kubernetes.io/etcd: is not allowed by this "
            "installation (QINSTRUCT_TOLERATED_TAINTS=*, where the system's taints need a pattern "
            "that begins as they do); use one that is, or ask whoever runs the operator",
        ),
        (
            {"tolerations": [{"operator": "Exists"}]},
            "spec.prep.tolerations[0].key: is missing, which tolerates every taint, those of "
            "control planes too; name the taint",
        ),
    ],
)
def test_the_sentence_says_who_can_allow_it(asked: dict[str, Any], sentence: str) -> None:
    raw = document()
    raw["spec"]["prep"] = asked
    (found,) = allowed_violations(parse(raw).spec, Settings(priority_classes="low,high"))
    assert found.sentence() == sentence
