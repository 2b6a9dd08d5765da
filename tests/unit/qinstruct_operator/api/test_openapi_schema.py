"""The schema of the API: structural, described, bounded, and in step with what `parse` accepts."""

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from qinstruct_operator.api import parse
from qinstruct_operator.api.crd import crd
from support.bad_specs import BAD_SPECS
from support.operator_documents import RUNS, sample

VERSION: dict[str, Any] = crd()["spec"]["versions"][0]
SCHEMA: dict[str, Any] = VERSION["schema"]["openAPIV3Schema"]


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema below this one with its path, the node itself included."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from nodes(schema[key], f"{path}[{key}]")


def test_every_field_is_described() -> None:
    silent = [
        path for path, node in nodes(SCHEMA) if "description" not in node and not path.endswith("]")
    ]
    theirs = [".apiVersion", ".kind", ".metadata", ".metadata.name"]
    assert silent == theirs, "the API server describes these itself"


def test_every_node_is_structural() -> None:
    for path, node in nodes(SCHEMA):
        assert "type" in node, path
        assert not {"$ref", "anyOf", "allOf", "oneOf", "title", "const"} & node.keys(), path
        assert node.get("additionalProperties") is not False, path
        assert not ("properties" in node and "additionalProperties" in node), path
        for bound in ("exclusiveMinimum", "exclusiveMaximum"):
            assert isinstance(node.get(bound, True), bool), path


def test_no_object_is_left_open_by_accident() -> None:
    contents = {"properties", "additionalProperties", "x-kubernetes-preserve-unknown-fields"}
    bare = [p for p, node in nodes(SCHEMA) if node["type"] == "object" and not contents & set(node)]
    assert bare == []


def test_everything_in_the_spec_is_bounded() -> None:
    """CEL's cost is estimated from these bounds; without them the API server refuses rules."""
    for path, node in nodes(SCHEMA["properties"]["spec"]):
        if node["type"] == "string":
            assert "enum" in node or "maxLength" in node, path
        if node["type"] == "array":
            assert "maxItems" in node, path
        if "additionalProperties" in node:
            assert "maxProperties" in node, path


@pytest.mark.parametrize("name", [*RUNS, "all-fields"])
def test_samples_pass_the_schema_and_parse(name: str) -> None:
    jsonschema.Draft4Validator(SCHEMA).validate(sample(name))
    parse(sample(name))


def test_all_fields_has_every_field() -> None:
    """But those that exclude others: a claim of one's own excludes what would create it."""
    raw = sample("all-fields")["spec"]
    assert set(_missing(SCHEMA["properties"]["spec"], raw, "spec")) == {
        "spec.output.claimName",
        "spec.data.sources.coco.url",
        "spec.data.sources.coco.revision",
    } ^ {"spec.data.sources.coco.url"}


def _missing(schema: dict[str, Any], value: dict[str, Any], path: str) -> Iterator[str]:
    for name, child in schema.get("properties", {}).items():
        here = f"{path}.{name}"
        if name not in value:
            yield here
        elif name == "sources":
            yield from _missing(child["additionalProperties"], value[name]["coco"], f"{here}.coco")
        elif child["type"] == "object":
            yield from _missing(child, value[name], here)


SCHEMA_REFUSES = [
    "no size", "no strategy", "unknown size", "size as a number", "text for a number",
    "fraction of an epoch", "no epochs", "negative learning rate", "size without unit", "no GPU",
    "unknown product", "short digest", "zero stage four", "claim name with a slash",
]  # fmt: skip


@pytest.mark.parametrize("case", SCHEMA_REFUSES)
def test_the_schema_alone_refuses_what_it_can(case: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft4Validator(SCHEMA).validate(BAD_SPECS[case][0])
