"""Read a JSON array, or an object, of any length one element at a time, as it is written.

The text of an element is kept, not only its value: so the merged file has every number and
escape of the published ones, which a reader that decodes and encodes again would change.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NoReturn

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.contract.field_paths import source_field
from qinstruct_trainer.file_kinds import instead
from qinstruct_trainer.json_files import LongNumberError, whole_number

_BLANK = " \t\n\r"
_CHUNK = 1 << 20  # characters
# Characters; a record of the published files has a few hundred. Decoded it may take 30 times that.
_MAX_ELEMENT = 1 << 21


def read_elements(path: Path, name: str) -> Iterator[tuple[str, object]]:
    """The elements of a JSON array: (text on one line, decoded value).

    Args:
        path: A UTF-8 file.
        name: Of the source, for messages.

    Raises:
        DataError: the file is not one JSON array; says where it goes wrong.
    """
    with _reader(path, name) as reader:
        yield from reader.elements()


def read_members(path: Path, name: str) -> Iterator[tuple[str, object]]:
    """The members of a JSON object: (name, decoded value). The rest is as in `read_elements`."""
    with _reader(path, name) as reader:
        yield from reader.members()


@contextmanager
def _reader(path: Path, name: str) -> Iterator["_Reader"]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = _Reader(file, name, path)
        try:
            yield reader
        except UnicodeDecodeError as error:
            json_kinds = ("a JSON array", "a JSON object")
            raise reader.not_json("is not UTF-8", "JSON in UTF-8", *json_kinds) from error
        except RecursionError as error:
            raise reader.fault("it is nested too deeply") from error


class _Reader:
    """A window on the file that grows until it holds the next element."""

    def __init__(self, file: IO[str], name: str, path: Path):
        self._file = file
        self._name = name
        self._path = path
        self._window = ""
        self._at = 0
        self._index = 0
        self._decoder = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=whole_number)

    def elements(self) -> Iterator[tuple[str, object]]:
        yield from self._all_between("[", "]", "array", self._element)

    def members(self) -> Iterator[tuple[str, object]]:
        yield from self._all_between("{", "}", "object", self._member)

    def not_json(self, otherwise: str, expected: str, *same: str) -> DataError:
        """An error about the whole file: what it is, or `otherwise`."""
        return self.fault(f"the file {instead(self._path, expected, otherwise, *same)}")

    def fault(self, reason: str) -> DataError:
        """An error that names the source and the element."""
        return DataError(
            f"{self._name}, record {self._index}: {reason}; "
            f"correct the file or set {source_field(self._name)}.url to a good copy"
        )

    def _all_between(
        self, start: str, end: str, kind: str, read: Callable[[], tuple[str, object]]
    ) -> Iterator[tuple[str, object]]:
        if self._next_character() != start:
            otherwise = f"does not begin with {start}; it is not a JSON {kind}"
            raise self.not_json(otherwise, f"a JSON {kind}")
        self._at += 1
        separator = "," if self._next_character() != end else self._take()
        while separator == ",":
            self._next_character()
            yield read()
            self._index += 1
            separator = self._take()
        if separator != end:
            raise self.fault(f"the {kind} is not closed; the file is truncated or damaged")
        if self._next_character():
            raise self.fault(f"something follows the end of the {kind}")

    def _member(self) -> tuple[str, object]:
        name = self._element()[1]
        if not isinstance(name, str) or self._take() != ":":
            raise self.fault("it is not valid JSON (a member is no name, colon and value)")
        self._next_character()
        return name, self._element()[1]

    def _take(self) -> str:
        """The next character that is not blank; "" at the end."""
        character = self._next_character()
        self._at += len(character)
        return character

    def _element(self) -> tuple[str, object]:
        while True:
            try:
                value, end = self._decoder.raw_decode(self._window, self._at)
            except ValueError as error:  # invalid, or just not all of it in the window yet
                if not self._grow():
                    is_read = not isinstance(error, LongNumberError)
                    reason = f"it is not valid JSON ({error})" if is_read else str(error)
                    raise self.fault(reason) from error
                continue
            if end == len(self._window) and self._grow():
                continue  # a number may go on
            text = self._window[self._at : end]
            self._at = end
            # A JSON string has no raw line end, so that those found are blanks between tokens.
            return text.replace("\r", " ").replace("\n", " "), value

    def _next_character(self) -> str:
        """The next character that is not blank, without taking it; "" at the end."""
        while True:
            while self._at < len(self._window) and self._window[self._at] in _BLANK:
                self._at += 1
            if self._at < len(self._window):
                return self._window[self._at]
            if not self._grow():
                return ""

    def _grow(self) -> bool:
        """Drop what was read and double the rest; False at the end or if an element is too long."""
        rest = self._window[self._at :]
        if len(rest) > _MAX_ELEMENT:
            return False
        more = self._file.read(max(_CHUNK, len(rest)))
        self._window, self._at = rest + more, 0
        return bool(more)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
