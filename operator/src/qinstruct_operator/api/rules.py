"""What a schema cannot say and the API server shall enforce: CEL rules, as data.

Each rule is here because it can be judged without knowing the plan's tables; the plan's own
checks (core.checks) say the same and more, in the same words, for local mode.
"""

from typing import Any, get_args

from qinstruct_operator.api.spec import SourceName

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
            "self.metadata.name.size() <= 48",
            "is longer than 48 characters, so that its children's names would not fit; choose a "
            "shorter one",
        ),
        _rule(
            ".metadata.name",
            "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
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
    sources = ", ".join(f"'{name}'" for name in get_args(SourceName))
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
            ".gpu.product",
            "!(self.size == '13B' && has(self.gpu) && has(self.gpu.product) && "
            "self.gpu.product.contains('40GB'))",
            "has 40 GB, and size 13B needs GPUs of 80 GB; use auto or a product of 80 GB or more",
        ),
        _rule(
            ".data.maxMissing",
            "!has(self.data) || !has(self.data.maxMissing) || "
            "self.data.maxMissing == 0 || self.data.missingImages == 'Drop'",
            "means nothing with missingImages Fail; set missingImages: Drop, or remove it",
        ),
        _rule(
            ".data.sources",
            "!(self.size == 'Tiny' && has(self.data) && has(self.data.sources) && "
            "('q-instruct-labels' in self.data.sources) != "
            "('q-instruct-images' in self.data.sources))",
            "must give q-instruct-labels and q-instruct-images together for size Tiny; add the "
            "other one",
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
            "'nvidia.com/gpu.product' in self.scheduling.nodeSelector)",
            "names nvidia.com/gpu.product, which gpu.strict sets already; set gpu.product instead",
        ),
    ]


def add_rules(schema: dict[str, Any]) -> dict[str, Any]:
    """The object's schema with every rule in its place."""
    spec = schema["properties"]["spec"] | {"x-kubernetes-validations": spec_rules()}
    properties = schema["properties"] | {"spec": spec}
    return schema | {"properties": properties, "x-kubernetes-validations": name_rules()}
