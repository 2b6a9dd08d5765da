"""The README, and pages like it, as their tests read them."""

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
README: Final = (ROOT / "README.md").read_text("utf-8")


def shell_blocks(page: str = README) -> list[list[str]]:
    """The commands of each shell block, comments left out."""
    blocks = re.findall(r"```shell\n(.*?)```", page, re.DOTALL)
    return [[line.split("#")[0].strip() for line in block.splitlines()] for block in blocks]
