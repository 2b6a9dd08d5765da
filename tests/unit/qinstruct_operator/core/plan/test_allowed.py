"""Tests of what an installation lets a run ask for."""

from typing import Any

import pytest

from qinstruct_operator.api.parse import parse
from qinstruct_operator.core.plan.allowed import allowed_violations
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
