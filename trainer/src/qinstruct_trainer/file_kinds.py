"""What a file really is, by its first bytes: asked where a reader could not make sense of it.

A page, a pointer or another format is no damage, and fetching it again cannot help. Torch-free.
"""

import json
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_START_BYTES: Final = 4096
_BLANK: Final = b" \t\r\n\xef\xbb\xbf"  # and the mark of UTF-8
_LEGACY_MAGIC: Final = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
_SEE: Final = "open its address in a browser to see why"


@dataclass(frozen=True)
class FileKind:
    """What a file is.

    Attributes:
        name: With its article, to follow "is".
        way_out: What to do with it; None: it depends on what was expected.
    """

    name: str
    way_out: str | None = None


PAGE: Final = FileKind("an HTML page", _SEE)
ERROR_DOCUMENT: Final = FileKind("an XML document, as servers send for errors", _SEE)
POINTER: Final = FileKind("a pointer of Git LFS", "fetch the file itself with `git lfs pull`")

LEGACY_TORCH: Final = FileKind("a torch file in the format of before 1.6")


def file_kind(path: Path) -> FileKind | None:
    """What a file is; None if that is unknown, or it cannot be read."""
    try:
        special = special_kind(path)
        if special is not None:
            return special
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            return kind_of(file.read(_START_BYTES))
    except (OSError, ValueError):
        return None


def special_kind(path: Path) -> FileKind | None:
    """What is no plain file, behind links; None of one. Of a pipe or a device there is no end.

    Raises:
        OSError: it is not there, or nobody can say.
    """
    mode = path.stat().st_mode
    return next((kind for is_it, kind in _SPECIAL if is_it(mode)), None)


def kind_of(start: bytes) -> FileKind | None:
    """The same of a file's first bytes."""
    text = start.lstrip(_BLANK)
    return next((kind for is_it, kind in _KINDS if is_it(start, text)), None)


def instead(path: Path, expected: str, otherwise: str, *same: str) -> str:
    """The rest of a sentence about a file that a reader refused.

    Args:
        path: The file.
        expected: What it should be, with its article.
        otherwise: The rest where the file is nothing that is known, or of the kind expected.
        same: Names of kinds that it may be, beside `expected`.
    """
    kind = file_kind(path)
    if kind is None or kind.name in (expected, *same):
        return otherwise
    way_out = f"; {kind.way_out}" if kind.way_out else ""
    return f"is {kind.name}, not {expected}{way_out}"


_SPECIAL: Final[tuple[tuple[Callable[[int], bool], FileKind], ...]] = (
    (stat.S_ISDIR, FileKind("a folder")),
    (stat.S_ISFIFO, FileKind("a pipe")),
    (stat.S_ISSOCK, FileKind("a socket")),
    (stat.S_ISCHR, FileKind("a device")),
    (stat.S_ISBLK, FileKind("a device")),
)
_Test = Callable[[bytes, bytes], bool]


def _starts(*magics: bytes) -> _Test:
    return lambda start, _: start.startswith(magics)


def _is_page(_: bytes, text: bytes) -> bool:
    return text[:512].lower().startswith((b"<!doctype html", b"<html", b"<head", b"<body"))


def _is_error_document(_: bytes, text: bytes) -> bool:
    return text.startswith((b"<?xml", b"<Error"))


def _is_json_lines(_: bytes, text: bytes) -> bool:
    line, _end, rest = text.partition(b"\n")
    try:
        return isinstance(json.loads(line), dict) and rest.lstrip(_BLANK).startswith(b"{")
    except (ValueError, RecursionError):
        return False


def _is_safetensors(start: bytes, _: bytes) -> bool:
    return start[8:9] == b"{" and 0 < int.from_bytes(start[:8], "little") < 1 << 30


def _is_tar(start: bytes, _: bytes) -> bool:
    return start[257:262] == b"ustar"


def _is_image(start: bytes, _: bytes) -> bool:
    riff = start[:4] == b"RIFF" and start[8:12] == b"WEBP"
    return riff or start.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8"))


_KINDS: Final[tuple[tuple[_Test, FileKind], ...]] = (
    (lambda start, _: not start, FileKind("an empty file", "fetch it again")),
    (_is_page, PAGE),
    (_is_error_document, ERROR_DOCUMENT),
    (_starts(b"version https://git-lfs"), POINTER),
    (_starts(_LEGACY_MAGIC), LEGACY_TORCH),
    (_starts(b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"), FileKind("a pickle")),
    (_starts(b"PK\x03\x04", b"PK\x05\x06"), FileKind("a zip archive")),
    (_starts(b"\x1f\x8b"), FileKind("a gzip file")),
    (_starts(b"BZh"), FileKind("a bzip2 file")),
    (_starts(b"\xfd7zXZ\x00"), FileKind("an xz file")),
    (_starts(b"\x28\xb5\x2f\xfd"), FileKind("a zstd file")),
    (_starts(b"7z\xbc\xaf\x27\x1c"), FileKind("a 7z archive")),
    (_starts(b"Rar!\x1a\x07"), FileKind("a rar archive")),
    (_is_tar, FileKind("a tar archive")),
    (_is_image, FileKind("an image")),
    (_starts(b"%PDF"), FileKind("a PDF")),
    (_starts(b"\x89HDF"), FileKind("an HDF5 file")),
    (_starts(b"PAR1"), FileKind("a Parquet file")),
    (_starts(b"ARROW1"), FileKind("an Arrow file")),
    (_starts(b"GGUF"), FileKind("a GGUF file")),
    (_is_safetensors, FileKind("a safetensors file")),
    (_starts(b"\xff\xfe", b"\xfe\xff"), FileKind("text in UTF-16", "save it as UTF-8")),
    (_is_json_lines, FileKind("a file of JSON lines", "make one array of it with `jq -s .`")),
    (lambda _, text: text.startswith(b"["), FileKind("a JSON array")),
    (lambda _, text: text.startswith(b"{"), FileKind("a JSON object")),
    (lambda start, _: not start.strip(b"\0"), FileKind("a file of zeros", "fetch it again")),
)
