"""Parse a document into a `QInstructTraining`, or raise a violation for each fault."""

import difflib
import math
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from qinstruct_operator.api.field_types import MAX_RUN_NAME_LENGTH
from qinstruct_operator.api.v1alpha1 import QInstructTraining
from qinstruct_operator.constants import API_VERSION, KIND
from qinstruct_operator.errors import InvalidSpec, Violation
from qinstruct_operator.kubectl_yaml import plain_value
from qinstruct_trainer.contract.field_paths import field_path

_MAX_VIOLATIONS = 20  # a document with more faults is another kind of document
_MAX_DEPTH = 64  # of a spec; the schema's own is 7, a pod template in a patch has up to 12 more
_MAX_OTHER_DEPTH = 128  # managedFields repeat the spec's keys
_NAME_FIX = (
    f"use at most {MAX_RUN_NAME_LENGTH} lower-case letters, digits and '-', starting with a letter "
    "and ending with a letter or digit"
)


def parse(document: Mapping[str, Any]) -> QInstructTraining:
    """Read a document as it comes from YAML or from the API server.

    Raises:
        InvalidSpec: with one violation a fault, in the document's order.
    """
    refused = (*_identity_violations(document), *_depth_violations(document))
    if refused:
        raise InvalidSpec(refused)
    try:
        return QInstructTraining.model_validate(dict(document))
    except ValidationError as error:
        found = [_violation(detail) for detail in error.errors()[:_MAX_VIOLATIONS]]
        raise InvalidSpec(found) from error


def _identity_violations(document: Mapping[str, Any]) -> Iterator[Violation]:
    """A document of another kind gets these faults alone, not fifty unknown fields."""
    for key, expected in (("apiVersion", API_VERSION), ("kind", KIND)):
        value = document.get(key)
        if value is None:
            yield Violation(key, None, "is missing", f"write {key}: {expected}")
        elif value != expected:
            yield Violation(key, value, f"is not {expected}", f"write {key}: {expected}")


def _depth_violations(document: Mapping[str, Any]) -> Iterator[Violation]:
    """Nested so deep that code which follows it runs out of stack; so this keeps its own."""
    waiting: list[tuple[list[str | int], Any]] = [([key], document[key]) for key in document]
    while waiting:
        location, value = waiting.pop()
        limit = _MAX_DEPTH if location[0] == "spec" else _MAX_OTHER_DEPTH
        if len(location) > limit:
            field = _path(location[:4])
            reason = f"is nested more than {limit} levels deep"
            yield Violation(field, None, reason, f"make {field} flatter")
            return
        if isinstance(value, Mapping):
            waiting.extend(([*location, str(key)], inner) for key, inner in value.items())
        elif isinstance(value, list | tuple):
            waiting.extend(([*location, index], inner) for index, inner in enumerate(value))


def _violation(detail: ErrorDetails) -> Violation:
    location = [part for part in detail["loc"] if part != "[key]"]
    kind, value = detail["type"], detail["input"]
    field = _path(location)
    if kind == "extra_forbidden":
        return _unknown_field(field, location)
    if kind == "missing":
        return Violation(field, None, "is required but missing", f"add {field}")
    if "[key]" in detail["loc"]:
        reason, fix = _key_reason(detail)
        return Violation(_path(location[:-1]), location[-1], reason, fix)
    if location == ["metadata", "name"]:
        return Violation(field, value, "is not a name that a run can have", _NAME_FIX)
    if value is None:
        return Violation(field, value, "has no value", f"give {field} a value or remove it")
    if kind in _TYPES:
        return Violation(field, value, *_type_reason(_TYPES[kind], location, value))
    return Violation(field, value, *_reason(detail))


def _key_reason(detail: ErrorDetails) -> tuple[str, str]:
    if detail["type"] != "literal_error":
        return "is not a valid key", f"use a key that matches: {_message(detail)}"
    names = [name.strip("' ") for name in detail["ctx"]["expected"].replace(" or ", ",").split(",")]
    near = _nearest(str(detail["loc"][-2]), names)
    return "is not the name of a source", f"did you mean {near}?" if near else (
        "use one of " + ", ".join(names)
    )


def _unknown_field(field: str, location: list[str | int]) -> Violation:
    known = _known_fields(location[:-1])
    near = _nearest(str(location[-1]), known)
    fix = f"did you mean {near}?" if near else f"known here: {', '.join(known)}"
    return Violation(field, None, "is not a known field", fix)


def _reason(detail: ErrorDetails) -> tuple[str, str]:
    """What is wrong with a value, and the way out, by the kind of pydantic's error."""
    kind = detail["type"]
    if kind == "literal_error":
        expected = detail["ctx"]["expected"].replace("'", "")
        near = _nearest_choice(str(detail["input"]), expected.replace(" or ", ", ").split(", "))
        return "is not one of the choices", f"use {expected}" + (
            f"; did you mean {near}?" if near else ""
        )
    if kind in _BOUNDS:
        words, key = _BOUNDS[kind]
        bound = f"{words} {detail['ctx'][key]:.15g}"
        return f"must be {bound}", f"use a value {bound}"
    if kind == "string_pattern_mismatch":
        return "has the wrong form", f"use text that matches {detail['ctx']['pattern']}"
    return _message(detail), "see `kubectl explain qit.spec` or `qinstruct crd` for what it may be"


def _type_reason(wanted: str, location: list[str | int], value: object) -> tuple[str, str]:
    """What the value is instead, and the way out: what was probably meant, or where to read it."""
    found = _kind(value)
    if isinstance(value, float) and wanted == "a whole number":
        below = math.floor(value) if math.isfinite(value) else 0
        return f"is not {wanted}", f"write {below} or {below + 1}" if below else "write 1"
    if wanted == "text":
        return f"is {found}, not text", "put it in quotes"
    if isinstance(value, str) and wanted in _UNQUOTED and _is_number(value):
        return f"is text, not {wanted}", "remove the quotes"
    if wanted == "true or false":
        return f"is {found}, not {wanted}", f"write {wanted}, without quotes"
    names = [str(part) for part in location if not isinstance(part, int)]
    return f"is {found}, not {wanted}", f"see `kubectl explain qit.{'.'.join(names)}`"


def _is_number(text: str) -> bool:
    try:
        return _kind(plain_value(text)) == "a number"
    except ValueError:
        return False


def _kind(value: object) -> str:
    names = {bool: "a truth value", str: "text", dict: "a mapping", list: "a list"}
    names |= {int: "a number", float: "a number"}
    return names.get(type(value), "nothing that is known")


_BOUNDS = {
    "greater_than": ("greater than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
_TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "model_type": "a mapping of fields",
    "model_attributes_type": "a mapping of fields",
    "dict_type": "a mapping",
    "tuple_type": "a list",
}


_UNQUOTED = ("a whole number", "a number")


def _message(detail: ErrorDetails) -> str:
    text = detail["msg"]
    return text[:1].lower() + text[1:]


def _path(location: list[str | int]) -> str:
    return field_path(*location) or "the document"


def _nearest(word: str, known: list[str]) -> str | None:
    """The known word that was probably meant; upper and lower case do not count."""
    folded = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    return folded[near[0]] if near else None


def _nearest_choice(word: str, choices: list[str]) -> str | None:
    """The same of values: another number is another thing, not a slip. 70B is not nearly 7B."""
    return _nearest(word, [name for name in choices if _digits(name) == _digits(word)])


def _digits(word: str) -> str:
    return "".join(sign for sign in word if sign.isdecimal())


def _known_fields(location: list[str | int]) -> list[str]:
    """The field names of the model that a location leads to."""
    model: type[BaseModel] = QInstructTraining
    for part in location:
        field = next((f for f in model.model_fields.values() if f.alias == part), None)
        inner = _model_in(field.annotation) if field else None
        model = inner or model  # list positions and map keys stay within the model
    return sorted(str(field.alias) for field in model.model_fields.values())


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The one model inside `Model | None`, `tuple[Model, ...]` or `dict[str, Model]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, typing.get_args(annotation))), None)
