"""What a schema cannot say and the API server shall enforce: CEL rules, as data.

Each rule is here because it can be judged without knowing the plan's tables; the plan's own
checks (core.checks) say the same and more, in the same words, for local mode.
"""

from typing import Any, get_args

from qinstruct_operator.api.spec import SourceName

Rule = dict[str, str]

_REQUIRED_IMMUTABLE = ("size", "strategy")
_OPTIONAL_IMMUTABLE = ("data", "model", "training", "output")


def spec_rules() -> list[Rule]:
    """Rules on the spec as a whole: immutability, then cross-field ones."""
    return [*_immutability(), *_cross_field()]


def name_rules() -> list[Rule]:
    """Rules on the object: only `metadata.name` is visible to them."""
    return [
        {
            "rule": "self.metadata.name.size() <= 48",
            "message": "metadata.name is longer than 48 characters, so that its children's names "
            "would not fit; choose a shorter one",
        },
        {
            "rule": "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
            "message": "metadata.name must start with a letter and have only lower-case letters, "
            "digits and '-'; choose another one",
        },
    ]


def _immutability() -> list[Rule]:
    way_out = "cannot change after creation; delete the run and create it again"
    required = [
        {"rule": f"self.{name} == oldSelf.{name}", "message": f"spec.{name} {way_out}"}
        for name in _REQUIRED_IMMUTABLE
    ]
    optional = [
        {
            "rule": f"has(self.{name}) == has(oldSelf.{name}) && "
            f"(!has(self.{name}) || self.{name} == oldSelf.{name})",
            "message": f"spec.{name} {way_out}",
        }
        for name in _OPTIONAL_IMMUTABLE
    ]
    return required + optional


def _cross_field() -> list[Rule]:
    sources = ", ".join(f"'{name}'" for name in get_args(SourceName))
    return [
        {
            "rule": "!has(self.data) || !has(self.data.sources) || "
            f"self.data.sources.all(name, name in [{sources}])",
            "message": f"spec.data.sources has an unknown source; use one of {sources}",
        },
        {
            "rule": "!(self.size == 'Tiny' && has(self.gpu))",
            "message": "spec.gpu means nothing for size Tiny, which trains on CPUs; remove it",
        },
        {
            "rule": "!(self.size == '13B' && has(self.gpu) && has(self.gpu.product) && "
            "self.gpu.product.contains('40GB'))",
            "message": "size 13B does not fit GPUs with 40 GB; use an 80 GB product",
        },
        {
            "rule": "!has(self.data) || !has(self.data.maxMissing) || "
            "self.data.maxMissing == 0 || self.data.missingImages == 'Drop'",
            "message": "spec.data.maxMissing needs missingImages: Drop; set that, or drop this",
        },
        {
            "rule": "!(self.size == 'Tiny' && has(self.data) && has(self.data.sources) && "
            "('q-instruct-labels' in self.data.sources) != "
            "('q-instruct-images' in self.data.sources))",
            "message": "spec.data.sources must give q-instruct-labels and q-instruct-images "
            "together for size Tiny",
        },
        {
            "rule": "!has(self.training) || !has(self.training.globalBatchSize) || "
            "!has(self.training.microBatchSize) || "
            "self.training.microBatchSize <= self.training.globalBatchSize",
            "message": "spec.training.microBatchSize is larger than globalBatchSize; lower it",
        },
        {
            "rule": "!(has(self.gpu) && self.gpu.strict && has(self.scheduling) && "
            "has(self.scheduling.nodeSelector) && "
            "'nvidia.com/gpu.product' in self.scheduling.nodeSelector)",
            "message": "spec.scheduling.nodeSelector may not name nvidia.com/gpu.product with "
            "gpu.strict; set gpu.product instead",
        },
    ]


def add_rules(schema: dict[str, Any]) -> dict[str, Any]:
    """The object's schema with every rule in its place."""
    spec = schema["properties"]["spec"] | {"x-kubernetes-validations": spec_rules()}
    properties = schema["properties"] | {"spec": spec}
    return schema | {"properties": properties, "x-kubernetes-validations": name_rules()}
