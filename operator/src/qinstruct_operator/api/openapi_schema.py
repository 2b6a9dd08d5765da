"""Pydantic's JSON schema to the structural schema that a CRD takes. Pure.

Differences, each handled by one step (Kubernetes: "Extend the API with CRDs", structural
schemas): no `$ref`; no `anyOf` with null; exclusive bounds are booleans; no
`additionalProperties: false` beside properties (strictness is `parse`'s and kubectl's);
no `patternProperties` (a map's keys are `parse`'s to check); no titles. Defaults of single values
stay, so that `kubectl explain` and stored objects show them; null, empty and object defaults go,
because they would only repeat what absence means.
"""

from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

_KEPT = (
    "description",
    "type",
    "format",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "required",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
)


def structural_schema(model: type[BaseModel]) -> Schema:
    """The structural schema of a model, by its aliases, without references."""
    schema = model.model_json_schema()
    return _structural(schema, schema.get("$defs", {}))


def _structural(node: Schema, definitions: dict[str, Schema]) -> Schema:
    node = _without_null(_resolved(node, definitions), definitions)
    result = {key: node[key] for key in _KEPT if key in node}
    result |= _bounds(node)
    if "const" in node:
        result["enum"] = [node["const"]]
    if isinstance(node.get("default"), str | int | float):
        result["default"] = node["default"]
    if "properties" in node:
        result["properties"] = {
            name: _structural(child, definitions) for name, child in node["properties"].items()
        }
    elif (values := _map_values(node)) is not None:
        result["additionalProperties"] = _structural(values, definitions)
    if "items" in node:
        result["items"] = _structural(node["items"], definitions)
    return result


def _resolved(node: Schema, definitions: dict[str, Schema]) -> Schema:
    """The node with its reference replaced; what stands beside the reference wins."""
    if "$ref" not in node:
        return node
    beside = {key: value for key, value in node.items() if key != "$ref"}
    return _resolved(definitions[node["$ref"].rsplit("/", 1)[-1]], definitions) | beside


def _without_null(node: Schema, definitions: dict[str, Schema]) -> Schema:
    """`anyOf: [X, null]` is X: an optional field is one that may be absent."""
    if "anyOf" not in node:
        return node
    (only,) = [part for part in node["anyOf"] if part.get("type") != "null"]
    beside = {key: value for key, value in node.items() if key != "anyOf"}
    return _resolved(only, definitions) | beside


def _map_values(node: Schema) -> Schema | None:
    """The schema of a map's values; pydantic files it under the keys' pattern, if they have one."""
    for values in (*node.get("patternProperties", {}).values(), node.get("additionalProperties")):
        if isinstance(values, dict):
            return values
    return None


def _bounds(node: Schema) -> Schema:
    """Exclusive bounds, and those that pydantic leaves in its own words (behind a validator)."""
    result: Schema = {}
    for bound, exclusive, inclusive in (("minimum", "gt", "ge"), ("maximum", "lt", "le")):
        keyword = f"exclusive{bound.capitalize()}"
        if (limit := node.get(keyword, node.get(exclusive))) is not None:
            result |= {bound: limit, keyword: True}
        elif inclusive in node:
            result[bound] = node[inclusive]
    return result
