"""Where a field of a document is, as text that one can follow to it. Pure."""

import json
import re
from typing import Final

_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


def field_path(*parts: str | int) -> str:
    """Names with dots between them, positions and other names in brackets: `a.b[0]["c.d"]`."""
    return "".join(map(_step, parts)).removeprefix(".")


def source_field(name: str) -> str:
    """The field of a source's entry in the spec of a run, without `spec`."""
    return field_path("data", "sources", name)


def _step(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    return f".{part}" if _PLAIN.fullmatch(part) else f"[{json.dumps(part, ensure_ascii=False)}]"
