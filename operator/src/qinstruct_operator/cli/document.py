"""Read the YAML document that describes a run, and refuse everything but plain data."""

import sys
from pathlib import Path
from typing import Any

import yaml

from qinstruct_trainer.contract.errors import ConfigError

STDIN = "-"
_MAX_BYTES = 256 * 1024  # a run is a dozen lines; the API server itself takes 1.5 MiB at most
_MAX_DEPTH = 50  # the composer recurses; the deepest field of the API is at 6
_MAX_NUMBER = 40  # characters
_TEXT = "tag:yaml.org,2002:str"
_OPENING = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_TAGGED = (yaml.ScalarEvent, yaml.CollectionStartEvent)
_CLOSING = (yaml.MappingEndEvent, yaml.SequenceEndEvent)


class _StrictLoader(yaml.SafeLoader):
    """A safe loader that refuses endless numbers, keys that are no text, and one that occurs twice.

    Of such keys YAML would keep the last; such numbers (in hexadecimal, or to the base 60) it
    would make, but nobody can print them.
    """

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        self._check_length(node)
        return int(super().construct_yaml_int(node))

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        self._check_length(node)
        return float(super().construct_yaml_float(node))

    def _check_length(self, node: yaml.ScalarNode) -> None:
        if len(node.value) > _MAX_NUMBER:
            raise yaml.constructor.ConstructorError(
                None, None, f"a number of {len(node.value):,} characters", node.start_mark
            )

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            # `<<` would bring keys from elsewhere; 1 and 0x1 would be one key.
            if not isinstance(key, yaml.ScalarNode) or key.tag != _TEXT:
                raise yaml.constructor.ConstructorError(
                    None, None, "a key is not a word", key.start_mark
                )
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value} occurs twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


# SafeLoader's table names its own functions.
_StrictLoader.add_constructor("tag:yaml.org,2002:int", _StrictLoader.construct_yaml_int)
_StrictLoader.add_constructor("tag:yaml.org,2002:float", _StrictLoader.construct_yaml_float)


def load_document(file: str) -> dict[str, Any]:
    """The mapping in a YAML file, or on standard input where `file` is `-`.

    Raises:
        ConfigError: unreadable, not text, not YAML, or not exactly one mapping of plain data.
    """
    name = "standard input" if file == STDIN else file
    text = _read(file, name)
    try:
        _refuse_unsupported(text, name)
        document = yaml.load(text, _StrictLoader)
    except yaml.MarkedYAMLError as error:
        raise ConfigError(f"{name}{_line(error)} is not valid YAML: {_reason(error)}") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a number or date that cannot be
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{name} is not valid YAML: {reason}") from error
    if not isinstance(document, dict):
        what = "is empty" if document is None else f"holds a {type(document).__name__}"
        raise ConfigError(
            f"{name} {what}, not a QInstructTraining; start from manifests/samples/run-tiny.yaml"
        )
    return document


def _read(file: str, name: str) -> str:
    try:
        if file == STDIN:
            data = sys.stdin.buffer.read(_MAX_BYTES + 1)
        else:
            with Path(file).open("rb") as stream:
                data = stream.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"{name!r} cannot be read: {reason}; give the path of a QInstructTraining YAML file"
        ) from error
    if len(data) > _MAX_BYTES:
        raise ConfigError(
            f"{name} is larger than {_MAX_BYTES // 1024} KiB; a run's description is a dozen lines"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{name} is not UTF-8 text (byte {error.start}); give a QInstructTraining YAML file"
        ) from error


def _refuse_unsupported(text: str, name: str) -> None:
    """Refuse a second document, aliases (they can expand without bound), tags, deep nesting."""
    documents = depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        mark = event.start_mark
        line = f"{name}, line {mark.line + 1}" if mark else name
        documents += isinstance(event, yaml.DocumentStartEvent)
        depth += isinstance(event, _OPENING) - isinstance(event, _CLOSING)
        if documents > 1:
            raise ConfigError(f"{line}: a second document begins; give one run per file")
        if depth > _MAX_DEPTH:
            raise ConfigError(f"{line}: nested deeper than {_MAX_DEPTH} levels; no run needs that")
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError(f"{line}: alias *{event.anchor} is not supported; write it out")
        if isinstance(event, _TAGGED) and event.tag is not None:
            raise ConfigError(f"{line}: tag {event.tag} is not supported; write plain values")


def _line(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f", line {mark.line + 1}," if mark else ""


def _reason(error: yaml.MarkedYAMLError) -> str:
    return error.problem or error.context or "it cannot be parsed"
