"""JSON files that are not trusted: of bounded size, and one object. Torch-free."""

import json
import sys
from pathlib import Path
from typing import Any

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.file_kinds import instead, special_kind

MAX_CONFIG_BYTES = 1 << 20  # the published ones have some thousand


class LongNumberError(ValueError):
    """A number is JSON, and has more digits than are read; the text is a part of a sentence."""


def whole_number(text: str) -> int:
    """For a decoder's `parse_int`: Python's own words are for programmers.

    Raises:
        LongNumberError: it has thousands of digits, each of which costs as much as all before it.
    """
    try:
        return int(text)
    except ValueError as error:
        digits, most = len(text.lstrip("-")), sys.get_int_max_str_digits()
        raise LongNumberError(
            f"it has a whole number of {digits:,} digits, and at most {most:,} are read"
        ) from error


def read_json(path: Path, *, max_bytes: int = MAX_CONFIG_BYTES) -> dict[str, Any]:
    """A JSON object of a checkpoint.

    Raises:
        DataError: the file is missing, too large, or no JSON object.
    """
    try:
        special = special_kind(path)
        if special is not None:
            raise DataError(f"{path} is {special.name}; give the folder of a whole checkpoint")
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except OSError as error:
        raise DataError(
            f"{path.parent} has no readable {path.name}; give the folder of a whole checkpoint"
        ) from error
    if len(content) > max_bytes:
        raise DataError(
            f"{path} is larger than {max_bytes:,} bytes, which no published one is; fetch the "
            "checkpoint again"
        )
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        what = instead(path, "a JSON object", "is not JSON")
        raise DataError(f"{path} {what}; fetch the checkpoint again") from error
    if not isinstance(document, dict):
        raise DataError(f"{path} is not a JSON object; fetch the checkpoint again")
    return document
