"""Print the licence of every package that the images hold, as its own metadata say it.

Usage: python scripts/licences.py. The packages are those of requirements/operator.txt and
requirements/trainer.txt. It ends with code 1 where a package says nothing of its licence: then
somebody must read it.
"""

import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ("operator", "trainer")
UNKNOWN = "not said"
# What says nothing in its metadata, and was read.
READ = {"cuda-toolkit": "no code of its own: it names NVIDIA's packages, which are in this list"}
_PREFIX = "License :: "


def packages(lock: str) -> list[str]:
    """The names in a lock file."""
    text = (ROOT / "requirements" / f"{lock}.txt").read_text("utf-8")
    return re.findall(r"^([A-Za-z0-9._-]+)==", text, re.MULTILINE)


def licence(package: Distribution) -> str:
    """The SPDX expression, else the classifiers, else the first line of the old free text."""
    metadata = package.metadata
    classifiers = [
        one.removeprefix(_PREFIX).rpartition(" :: ")[2]
        for one in metadata.get_all("Classifier") or []
        if one.startswith(_PREFIX)
    ]
    free = (metadata.get("License") or "").strip().splitlines()
    return (
        READ.get(package.name)
        or metadata.get("License-Expression")
        or ", ".join(one for one in classifiers if one != "OSI Approved")
        or (free[0] if free else "")
        or UNKNOWN
    )


def row(name: str, images: str) -> str:
    """A line of the table."""
    try:
        package = distribution(name)
    except PackageNotFoundError:
        return f"{name:40} {'':14} {images:18} (not needed on this platform)"
    return f"{name:40} {package.version:14} {images:18} {licence(package)}"


def main() -> None:
    """Print the table."""
    of = {lock: set(packages(lock)) for lock in LOCKS}
    lines = [
        row(name, ", ".join(lock for lock in LOCKS if name in of[lock]))
        for name in sorted(set().union(*of.values()))
    ]
    print("\n".join(lines))  # noqa: T201
    if silent := [line.split()[0] for line in lines if line.endswith(UNKNOWN)]:
        sys.exit(f"These say nothing of their licence: {', '.join(silent)}")


if __name__ == "__main__":
    main()
