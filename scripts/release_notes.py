"""Print the notes of a release: its part of CHANGELOG.md.

Usage: python scripts/release_notes.py v1.2.3. It ends with a sentence where the tag is not the
project's version, or the changelog has nothing of it. Python's own library alone.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def notes(changelog: str, version: str) -> str:
    """What stands below the version's heading, until the next one."""
    found = re.search(
        rf"^## \[{re.escape(version)}\][^\n]*\n(.*?)(?=^## \[|\Z)",
        changelog,
        re.MULTILINE | re.DOTALL,
    )
    return found.group(1).strip() if found else ""


def main() -> None:
    """Check the tag, and print."""
    tag = sys.argv[1]
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    if tag != f"v{version}":
        sys.exit(f"The tag {tag} is not v{version}, the version in pyproject.toml.")
    text = notes((ROOT / "CHANGELOG.md").read_text("utf-8"), version)
    if not text:
        sys.exit(f"CHANGELOG.md has no part [{version}]: give [Unreleased] this name and a date.")
    print(text)  # noqa: T201


if __name__ == "__main__":
    main()
