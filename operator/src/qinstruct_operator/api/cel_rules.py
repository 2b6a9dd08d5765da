"""CEL rules: what the API server enforces and a schema cannot say.

The plan's own checks (core.plan.checks) say the same and more, in the same words; local mode has
those alone.
"""

from collections.abc import Iterator
from typing import Any

from qinstruct_operator.api.field_types import MAX_RUN_NAME_LENGTH, RUN_NAME_PATTERN
from qinstruct_operator.catalog.gpus import smaller_classes
from qinstruct_operator.catalog.sizes import SIZES
from qinstruct_operator.catalog.sources import Q_INSTRUCT_IMAGES, Q_INSTRUCT_LABELS, SOURCES
from qinstruct_operator.constants import GPU_PRODUCT_LABEL

Rule = dict[str, str]

_IMMUTABLE_REQUIRED = ("size", "strategy")
_IMMUTABLE_GROUPS = ("data", "model", "training", "output")
_IMMUTABLE = "cannot change after creation; delete the run and create it again"


def spec_rules() -> list[Rule]:
    """Rules on the spec as a whole: immutability, then cross-field ones."""
    return [*_immutability(), *_cross_field()]


def name_rules() -> list[Rule]:
    """Rules on the object: only `metadata.name` is visible to them."""
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


def _immutability() -> list[Rule]:
    required = [
        _rule(f".{name}", f"self.{name} == oldSelf.{name}", _IMMUTABLE)
        for name in _IMMUTABLE_REQUIRED
    ]
    groups = [
        _rule(
            f".{name}",
            f"has(self.{name}) == has(oldSelf.{name}) && "
            f"(!has(self.{name}) || self.{name} == oldSelf.{name})",
            _IMMUTABLE,
        )
        for name in _IMMUTABLE_GROUPS
    ]
    return [rule | {"reason": "FieldValueForbidden"} for rule in required + groups]


def _cross_field() -> list[Rule]:
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
    spec = schema["properties"]["spec"] | {"x-kubernetes-validations": spec_rules()}
    properties = schema["properties"] | {"spec": spec}
    return schema | {"properties": properties, "x-kubernetes-validations": name_rules()}
