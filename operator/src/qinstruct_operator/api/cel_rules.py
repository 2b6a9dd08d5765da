"""CEL rules: what the API server enforces and a schema cannot say.

The plan's own checks (core.plan.checks) say the same and more, in the same words; local mode has
those alone.
"""

from collections.abc import Iterator
from typing import Any

from qinstruct_operator.api.changes import (
    ANYTIME,
    ANYTIME_NOTE,
    CHANGEABLE,
    FIXED,
    FIXED_NOTE,
    FIXED_PARTS,
    FIXED_WORDS,
    LATE_NOTE,
    LATE_WORDS,
)
from qinstruct_operator.api.field_types import MAX_RUN_NAME_LENGTH, RUN_NAME_PATTERN
from qinstruct_operator.api.spec import CheckpointPolicy, Spec
from qinstruct_operator.catalog.gpus import smaller_classes
from qinstruct_operator.catalog.sizes import SIZES
from qinstruct_operator.catalog.sources import Q_INSTRUCT_IMAGES, Q_INSTRUCT_LABELS, SOURCES
from qinstruct_operator.constants import (
    CONDITION_ACCEPTED,
    CONDITION_COMPLETE,
    CONDITION_FAILED,
    GPU_PRODUCT_LABEL,
    REASON_INVALID_SPEC,
)

Rule = dict[str, str]

_FORBIDDEN: Rule = {"reason": "FieldValueForbidden"}

# Both are as before the write: a status that says that a child exists cannot be ahead of it.
_MAY_STILL_CHANGE = (
    "!has(oldSelf.status) || (!has(oldSelf.status.attempt) && "
    "!(has(oldSelf.status.conditions) && oldSelf.status.conditions.exists(condition, "
    f"condition.type in ['{CONDITION_COMPLETE}', '{CONDITION_FAILED}'] && "
    "condition.status == 'True')))"
)
# As a rule nothing was made of a spec that was refused: it can be corrected in place. Where
# something was, before it was refused, the operator tells what differs.
_WAS_REFUSED = (
    "(has(oldSelf.status) && !has(oldSelf.status.attempt) && has(oldSelf.status.conditions) && "
    f"oldSelf.status.conditions.exists(condition, condition.type == '{CONDITION_ACCEPTED}' && "
    f"condition.status == 'False' && condition.reason == '{REASON_INVALID_SPEC}'))"
)
_KEEP = CheckpointPolicy.model_fields["keep"].default


def name_rules() -> list[Rule]:
    """Rules on the object: of its metadata only the name is visible to them."""
    return [
        _rule(
            ".metadata.name",
            f"self.metadata.name.size() <= {MAX_RUN_NAME_LENGTH}",
            f"is longer than {MAX_RUN_NAME_LENGTH} characters, so that its children's names would "
            "not fit; choose a shorter one",
        ),
        _rule(
            ".metadata.name",
            f"self.metadata.name.matches('{RUN_NAME_PATTERN}')",
            "must start with a letter and have only lower-case letters, digits and '-'; choose "
            "another one",
        ),
    ]


def _rule(field: str, rule: str, message: str) -> Rule:
    """A rule; the server's sentence is the field's path, then the message."""
    return {"rule": rule, "message": message, "fieldPath": field}


def fixed_rules() -> list[Rule]:
    """Rules on the object, because they read its status: what is fixed with the run."""
    same = {name: _is_same(".spec", name) for name in FIXED}
    same["checkpoint.keep"] = f"{_keep('self')} == {_keep('oldSelf')}"
    return [
        _rule(f".spec.{name}", f"{_WAS_REFUSED} || ({rule})", FIXED_WORDS) | _FORBIDDEN
        for name, rule in same.items()
    ]


def _keep(run: str) -> str:
    return f"(has({run}.spec.checkpoint) ? {run}.spec.checkpoint.keep : {_KEEP})"


def late_rules() -> list[Rule]:
    """Rules on the object, because they read its status: what cannot change any more."""
    return [
        _rule(f".spec.{name}", f"{_MAY_STILL_CHANGE} || ({_is_same('.spec', name)})", LATE_WORDS)
        | _FORBIDDEN
        for name in CHANGEABLE
    ]


def _is_same(parent: str, name: str) -> str:
    """Whether a field is as it was; where it had no value, none may be added."""
    new, old = f"self{parent}.{name}", f"oldSelf{parent}.{name}"
    if Spec.model_fields[name].is_required():
        return f"{new} == {old}"
    return f"has({new}) == has({old}) && (!has({new}) || {new} == {old})"


def spec_rules() -> list[Rule]:
    """Rules on the spec as a whole: what its fields mean together."""
    sources = ", ".join(f"'{name}'" for name in SOURCES)
    return [
        _rule(
            ".data.sources",
            "!has(self.data) || !has(self.data.sources) || "
            f"self.data.sources.all(name, name in [{sources}])",
            f"has an unknown source; use one of {sources}",
        ),
        _rule(
            ".gpu",
            "!(self.size == 'Tiny' && has(self.gpu))",
            "means nothing for size Tiny, which trains on CPUs; remove it",
        ),
        _rule(
            ".suspend",
            "!(has(self.suspend) && self.suspend && "
            "((has(self.scheduling) && has(self.scheduling.queueName)) || "
            "(has(self.prep) && has(self.prep.queueName))))",
            "cannot be true beside a queueName, because Kueue starts and stops what is in a queue; "
            "set spec.active of the run's Kueue Workload to false instead",
        ),
        *_too_small_gpus(),
        _rule(
            ".data.maxMissing",
            "!has(self.data) || !has(self.data.maxMissing) || "
            "self.data.maxMissing == 0 || self.data.missingImages == 'Drop'",
            "means nothing with missingImages Fail; set missingImages: Drop, or remove it",
        ),
        _rule(
            ".data.sources",
            "!(self.size == 'Tiny' && has(self.data) && has(self.data.sources) && "
            f"('{Q_INSTRUCT_LABELS}' in self.data.sources) != "
            f"('{Q_INSTRUCT_IMAGES}' in self.data.sources))",
            f"must give {Q_INSTRUCT_LABELS} and {Q_INSTRUCT_IMAGES} together for size Tiny; add "
            "the other one",
        ),
        _rule(
            ".training.microBatchSize",
            "!has(self.training) || !has(self.training.globalBatchSize) || "
            "!has(self.training.microBatchSize) || "
            "self.training.microBatchSize <= self.training.globalBatchSize",
            "is larger than globalBatchSize; lower it",
        ),
        _rule(
            ".scheduling.nodeSelector",
            "!(has(self.gpu) && self.gpu.strict && has(self.scheduling) && "
            "has(self.scheduling.nodeSelector) && "
            f"'{GPU_PRODUCT_LABEL}' in self.scheduling.nodeSelector)",
            f"names {GPU_PRODUCT_LABEL}, which gpu.strict sets already; set gpu.product instead",
        ),
    ]


def _too_small_gpus() -> Iterator[Rule]:
    """A product with less memory than the size needs, by the gigabytes in its name."""
    for name, size in SIZES.items():
        if size.gpu is None:
            continue
        needed = f"{size.gpu.gigabytes} GB"
        for smaller in smaller_classes(size.gpu):
            yield _rule(
                ".gpu.product",
                f"!(self.size == '{name}' && has(self.gpu) && has(self.gpu.product) && "
                f"self.gpu.product.contains('{smaller.gigabytes}GB'))",
                f"has {smaller.gigabytes} GB, and size {name} needs GPUs of {needed}; use auto or "
                f"a product of {needed} or more",
            )


def add_rules(schema: dict[str, Any]) -> dict[str, Any]:
    """The object's schema with every rule in its place."""
    spec = _with_words(schema["properties"]["spec"]) | {"x-kubernetes-validations": spec_rules()}
    properties = schema["properties"] | {"spec": spec}
    return schema | {
        "properties": properties,
        "x-kubernetes-validations": [*name_rules(), *fixed_rules(), *late_rules()],
    }


def _with_words(spec: dict[str, Any]) -> dict[str, Any]:
    """The spec's schema; each description says until when its field can change."""
    fields = {name: _described(child, _note(name)) for name, child in spec["properties"].items()}
    for path in FIXED_PARTS:
        group, name = path.split(".")
        parts = fields[group]["properties"]
        fields[group] |= {"properties": parts | {name: _described(parts[name], FIXED_NOTE)}}
    return spec | {"properties": fields}


def _note(name: str) -> str:
    if name in ANYTIME:
        return ANYTIME_NOTE
    return FIXED_NOTE if name in FIXED else LATE_NOTE


def _described(schema: dict[str, Any], note: str) -> dict[str, Any]:
    return schema | {"description": f"{schema['description']} {note}"}
