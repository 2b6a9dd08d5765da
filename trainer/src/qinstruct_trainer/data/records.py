"""A record of a label file, parsed and checked: after this there are no dicts.

Q-Instruct and mix665k share one format: `{"id", "image"?, "conversations": [{"from": "human"
or "gpt", "value": text}, ...]}`; every other key is ignored. Label files come from outside, so
nothing in them is believed: a path cannot leave the image folder, text can be tokenised.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Final, Literal, get_args

from qinstruct_trainer.contract.errors import DataError

Speaker = Literal["human", "gpt"]
_IMAGE_SIGN: Final = "<image>"
_PICTURE_KEYS: Final = ("image", "img", "picture", "photo")  # how other tools' keys begin
_NAMING: Final = (str, list, dict)
_MAX_PATH, _MAX_NAME = 1024, 255  # bytes; the latter is the limit of file systems
_USUAL_PATH: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
_SPEAKERS = frozenset(get_args(Speaker))


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side says once."""

    speaker: Speaker
    text: str


@dataclass(frozen=True, slots=True)
class Record:
    """One conversation about at most one image.

    Attributes:
        id: The record's own id, or its number in the file if it has none.
        image: Path relative to the image folder, POSIX, in NFC; None for a text-only record.
        turns: In the order of the file. Speakers alternate; the first may be `gpt`, which the
            published code leaves out.
    """

    id: str
    image: str | None
    turns: tuple[Turn, ...]

    @property
    def num_words(self) -> int:
        """Whitespace-separated words of all turns: the length that the published sampler uses."""
        return sum(len(turn.text.split()) for turn in self.turns)


def parse_record(raw: object, index: int) -> Record:
    """Check one element of a label file.

    Args:
        raw: The decoded JSON value.
        index: Its number in the file, counted from 0; part of every message.

    Raises:
        DataError: the value is not a record; says which one and what is wrong with it.
    """
    if not isinstance(raw, Mapping):
        raise DataError(f"record {index} is {_kind(raw)}, not an object; correct the label file")
    identifier = raw.get("id", index)
    if isinstance(identifier, bool) or not isinstance(identifier, str | int | float):
        raise _fault(index, str(index), f"its id is {_kind(identifier)}, not a text or a number")
    name = str(identifier)
    turns = _parse_turns(raw.get("conversations"), index, name)
    record = Record(name, _parse_image(_named_image(raw), index, name), turns)
    if not any(turn.text.strip() for turn in turns):
        raise _fault(index, name, "its conversation has not a single word")
    return record


def sign_of_a_picture(raw: object, record: Record) -> str | None:
    """What in a record says that there is a picture, whether it names one or not; None: nothing.

    Args:
        raw: The decoded JSON value.
        record: What was read of it.
    """
    if record.image is not None:
        return "its image"
    if isinstance(raw, Mapping):
        for key, value in raw.items():
            if key.lower().startswith(_PICTURE_KEYS) and value and isinstance(value, _NAMING):
                return f"its field {key:.40}"
    if any(_IMAGE_SIGN in turn.text for turn in record.turns):
        return f"{_IMAGE_SIGN} in its text"
    return None


def _named_image(raw: Mapping[str, object]) -> object:
    """The value that names the picture, in the forms of other tools: a list of one is that one."""
    value = raw.get("image")
    if value is None:
        value = raw.get("images") or None
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _parse_turns(raw: object, index: int, name: str) -> tuple[Turn, ...]:
    if not isinstance(raw, list) or not raw:
        raise _fault(index, name, "its conversations are not a list of turns")
    turns = tuple(_parse_turn(turn, number, index, name) for number, turn in enumerate(raw))
    for number, (turn, following) in enumerate(pairwise(turns), start=1):
        if turn.speaker == following.speaker:
            raise _fault(
                index, name, f"turn {number} is from {following.speaker}, as is the one before it"
            )
    return turns


def _parse_turn(raw: object, number: int, index: int, name: str) -> Turn:
    if not isinstance(raw, Mapping):
        raise _fault(index, name, f"turn {number} is {_kind(raw)}, not an object")
    speaker, text = raw.get("from"), raw.get("value")
    if not isinstance(speaker, str) or speaker not in _SPEAKERS:
        raise _fault(index, name, f"turn {number} is from {speaker!r:.40}, not from human or gpt")
    if not isinstance(text, str):
        raise _fault(index, name, f"the value of turn {number} is {_kind(text)}, not a text")
    if not is_utf8(text):
        raise _fault(index, name, f"turn {number} has half of a surrogate pair, which is no text")
    return Turn("human" if speaker == "human" else "gpt", text)


def _parse_image(raw: object, index: int, name: str) -> str | None:
    """The path, proven to stay below the folder it will be joined to; null means text-only.

    In NFC, as archives are unpacked: macOS writes the same name in another form.
    """
    if raw is None:
        return None
    if isinstance(raw, list) and len(raw) > 1:
        raise _fault(index, name, f"it names {len(raw):,} images, and a record has at most one")
    if not isinstance(raw, str) or not raw:
        raise _fault(index, name, f"its image is {raw!r:.40}, not a path")
    if _USUAL_PATH.fullmatch(raw) and len(raw) <= _MAX_NAME:  # what follows would return the same
        return raw
    if "\\" in raw or "\0" in raw or not is_utf8(raw):
        raise _fault(index, name, f"its image {raw!r:.200} has a character no path may have")
    path = PurePosixPath(unicodedata.normalize("NFC", raw))
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise _fault(index, name, f"its image {raw[:200]!r} is not below the image folder")
    if len(str(path).encode()) > _MAX_PATH or any(
        len(part.encode()) > _MAX_NAME for part in path.parts
    ):
        raise _fault(index, name, f"its image {raw[:100]!r} is longer than any file's name")
    return str(path)


def is_utf8(text: str) -> bool:
    """Whether it can be encoded: JSON and archives can spell lone surrogates, files cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kind(value: object) -> str:
    """What a JSON value is, for a message."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value"}
    return "missing or null" if value is None else names.get(type(value), "a number")


def _fault(index: int, name: str, reason: str) -> DataError:
    return DataError(f"record {index} (id {name!r:.80}): {reason}; correct or remove it")
