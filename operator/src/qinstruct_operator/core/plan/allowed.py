"""Rules about what this installation lets a run ask for, each with the setting that says so. Pure.

A tenant of a shared cluster may create runs, and must not get by them what only administrators
hand out: pods that push out the cluster's own, or that settle on its control plane.
"""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from qinstruct_operator.api.spec import Spec
from qinstruct_operator.errors import Violation
from qinstruct_operator.settings import Settings

_SYSTEM_PRIORITY = "system-"
# Of control planes, and of nodes that are to take no new pods: in maintenance, not initialized yet,
# short of something, or fenced off after a failure.
_SYSTEM_TAINTS = (
    "node-role.kubernetes.io/",
    "CriticalAddonsOnly",
    "node.kubernetes.io/unschedulable",
    "node.kubernetes.io/network-unavailable",
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/pid-pressure",
    "node.kubernetes.io/out-of-service",
    "node.cloudprovider.kubernetes.io/",
)


def allowed_violations(spec: Spec, settings: Settings) -> Iterator[Violation]:
    """Priority classes and tolerations that the installation does not allow."""
    for group, asked in (("prep", spec.prep), ("scheduling", spec.scheduling)):
        name = asked.priority_class_name
        if name is not None and name.startswith(_SYSTEM_PRIORITY):
            yield Violation(
                f"spec.{group}.priorityClassName",
                name,
                "is the system's own, and never a run's",
                "use another one",
            )
        elif name is not None and not _matches(name, settings.allowed_priority_classes):
            setting = f"QINSTRUCT_PRIORITY_CLASSES={settings.priority_classes}"
            yield _not_allowed(f"spec.{group}.priorityClassName", name, setting)
        for index, toleration in enumerate(asked.tolerations):
            field, key = f"spec.{group}.tolerations[{index}].key", toleration.key
            if key is None and toleration.operator == "Exists":
                yield Violation(
                    field,
                    None,
                    "is missing, which tolerates every taint, those of control planes too",
                    "name the taint",
                )
            if key is not None and not _is_taint_allowed(key, settings):
                setting = f"QINSTRUCT_TOLERATED_TAINTS={settings.tolerated_taints}"
                if key.startswith(_SYSTEM_TAINTS):
                    setting += ", where the system's taints need a pattern that begins as they do"
                yield _not_allowed(field, key, setting)


def _not_allowed(field: str, value: str, setting: str) -> Violation:
    return Violation(
        field,
        value,
        f"is not allowed by this installation ({setting})",
        "use one that is, or ask whoever runs the operator",
    )


def _is_taint_allowed(key: str, settings: Settings) -> bool:
    """The system's taints only where a pattern names them: `*` alone does not."""
    patterns = settings.allowed_taints
    if key.startswith(_SYSTEM_TAINTS):
        own = key.partition("/")[0]
        patterns = tuple(each for each in patterns if each.startswith(own))
    return _matches(key, patterns)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
