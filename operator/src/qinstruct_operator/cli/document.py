"""Read the document that describes a run as kubectl reads it, and refuse all but plain data."""

import json
import re
import sys
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any, NoReturn

import yaml

from qinstruct_operator.kubectl_yaml import Value, plain_value
from qinstruct_trainer.contract.errors import ConfigError

STDIN = "-"
_MAX_BYTES = 256 * 1024  # a run is a dozen lines; the API server itself takes 1.5 MiB at most
_MAX_REASON = 200  # characters; it may quote the file
_MAX_DEPTH = 50  # the composer recurses; the deepest field of the API is at 6
_OPENING = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_TAGGED = (yaml.ScalarEvent, yaml.CollectionStartEvent)
_CLOSING = (yaml.MappingEndEvent, yaml.SequenceEndEvent)
# kubectl cuts a file at every line that begins so, and refuses it if more follows than a comment.
_BAD_SEPARATOR = re.compile(r"^---(?=[ \t]*[^ \t\r\n#])", re.MULTILINE)


class _KubectlLoader(yaml.BaseLoader):
    """PyYAML's grammar with kubectl's values; a key that is none, or occurs twice, is refused.

    Of a key that occurs twice kubectl would keep one, without a word.
    """

    def construct_scalar(self, node: yaml.ScalarNode) -> Any:
        try:
            value = node.value if node.style else plain_value(node.value)
            node.value.encode()
        except UnicodeEncodeError:
            _refuse(node, "half of a surrogate pair is no text")
        except ValueError as error:
            _refuse(node, str(error))
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        mapping: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            if key in mapping:
                _refuse(key_node, f"the key {key:.80} occurs twice")
            mapping[key] = self.construct_object(value_node, deep=deep)
        return mapping

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            _refuse(node, "a key is not a word")
        if node.value == "<<" and not node.style:
            _refuse(node, "a merge key << is not supported; write its fields out")
        key: Value = self.construct_scalar(node)
        if key is None or isinstance(key, float):
            _refuse(node, f"the key {node.value:.80} is no text; put it in quotes")
        return key if isinstance(key, str) else json.dumps(key)  # 1 or true, as text


def _refuse(node: yaml.Node, reason: str) -> NoReturn:
    raise yaml.constructor.ConstructorError(None, None, reason, node.start_mark)


def load_document(file: str) -> dict[str, Any]:
    """The mapping in a YAML file, or on standard input where `file` is `-`.

    Raises:
        ConfigError: unreadable, not text, not YAML, or not exactly one mapping of plain data.
    """
    name = "standard input" if file == STDIN else file
    text = _read(file, name)
    # Like kubectl: what begins as JSON is JSON, unless it cannot be.
    document = _from_json(text) if text.lstrip().startswith("{") else None
    if document is None:
        document = _from_yaml(text, name)
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


def _from_json(text: str) -> dict[str, Any] | None:
    """A JSON object; None if the text is none, or has what `_from_yaml` refuses with a line."""
    try:
        document: dict[str, Any] = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_int=plain_value,
            parse_float=plain_value,
            parse_constant=_no_constant,
        )
        json.dumps(document, ensure_ascii=False).encode()  # halves of surrogate pairs are no text
    except (ValueError, RecursionError):
        return None
    return document


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found = list(pairs)
    mapping = dict(found)
    if len(mapping) < len(found):
        raise ValueError("a key occurs twice")
    return mapping


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _from_yaml(text: str, name: str) -> Any:
    try:
        _refuse_unsupported(text, name)
        return yaml.load(text, _KubectlLoader)
    except yaml.MarkedYAMLError as error:
        raise ConfigError(f"{name}{_line(error)} is not valid YAML: {_reason(error)}") from error
    except yaml.YAMLError as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{name} is not valid YAML: {reason}") from error


def _refuse_unsupported(text: str, name: str) -> None:
    """Refuse a second document, aliases (they can expand without bound), tags, deep nesting."""
    if separator := _BAD_SEPARATOR.search(text):
        number = text.count("\n", 0, separator.start()) + 1
        raise ConfigError(f"{name}, line {number}: text follows ---; begin it on the next line")
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
            raise ConfigError(f"{line}: alias *{event.anchor:.80} is not supported; write it out")
        if isinstance(event, _TAGGED) and event.tag is not None:
            raise ConfigError(f"{line}: tag {event.tag:.80} is not supported; write plain values")


def _line(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f", line {mark.line + 1}," if mark else ""


def _reason(error: yaml.MarkedYAMLError) -> str:
    reason = error.problem or error.context or "it cannot be parsed"
    return reason[:_MAX_REASON]
