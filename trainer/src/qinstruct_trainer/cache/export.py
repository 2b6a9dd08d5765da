"""Copies of what is in a cache, for use elsewhere: a unit's files, or the merged label file.

`labels` is the published `mix_cleaned_labels.json`, made of the merged records as `jq -s add`
writes it: the same bytes, but for numbers that are no integers below 2**53. Those jq 1.6 rounds,
and writes in a form of its own; here integers keep their value, and others are as Python has them.
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from qinstruct_trainer.cache.listing import Found, list_cache
from qinstruct_trainer.contract.cache import CopiedUnit
from qinstruct_trainer.contract.errors import ConfigError, DataError
from qinstruct_trainer.durable_files import delete_tree, num_bytes, sha256_of, sync_path
from qinstruct_trainer.prep.stages import RECORDS
from qinstruct_trainer.prep.unit_cache import verify
from qinstruct_trainer.prep.unit_manifest import read_manifest

LABELS: Final = "labels"
_INDENT: Final = 2  # of jq
_NAMED: Final = 5  # units in a message


def export(root: Path, name: str, target: Path, now: float, *, link: bool = False) -> CopiedUnit:
    """Copy a unit's files, or write the label file; the target is whole or not there.

    Args:
        root: The cache.
        name: A unit's name or a part of it that no other's has; `labels`, or `labels:` and such a
            part of a merge unit's name.
        target: The folder, or the label file, to make; it must not exist.
        now: Unix time in seconds.
        link: Second names instead of copies where the file system can: whoever changes one file
            then changes the other.

    Raises:
        ConfigError: no unit, or several, are meant; or the target is there.
        DataError: the unit is damaged.
        OSError: something cannot be read or written.
    """
    units = [found for found in list_cache(root, now) if found.entry.kind == "unit"]
    is_labels = name.partition(":")[0] == LABELS
    if is_labels:
        units = [found for found in units if found.entry.stage == "merge"]
    unit = _only(units, name, name.partition(":")[2] if is_labels else name)
    if target.resolve().is_relative_to(root.resolve()):
        raise ConfigError(f"{target} lies in the cache {root}; name a place outside of it")
    if os.path.lexists(target):
        raise ConfigError(f"{target} is there already; delete it or export to another name")
    verify(unit.path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    delete_tree(partial)
    try:
        if is_labels:
            _write_labels(unit.path / RECORDS, partial)
        else:
            _copy(unit.path, partial, link=link)
        partial.rename(target)
    finally:
        delete_tree(partial)
    sync_path(target.parent)
    size = target.stat().st_size if is_labels else num_bytes(target)
    return CopiedUnit(unit=unit.entry.name, path=str(target), num_bytes=size)


def _only(units: Sequence[Found], name: str, wanted: str) -> Found:
    exact = [found for found in units if found.entry.name == wanted]
    found = exact or [found for found in units if wanted in found.entry.name]
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConfigError(
            f"no unit of the cache is meant by {name:.100}; `qinstruct cache ls` lists all"
        )
    names = ", ".join(one.entry.name for one in found[:_NAMED])
    more = f"{LABELS}:NAME with one of these names" if name == LABELS else "all of a name"
    raise ConfigError(f"{len(found)} units can be meant by {name:.100} ({names}); give {more}")


def _copy(unit: Path, partial: Path, *, link: bool) -> None:
    """The files of the manifest, each compared with its digest when it has been copied."""
    manifest = read_manifest(unit)
    partial.mkdir()
    for file in manifest.files if manifest else ():
        source, target = unit / file.path, partial / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if link and _is_linked(source, target):
            continue
        shutil.copyfile(source, target, follow_symlinks=False)
        if target.is_symlink() or sha256_of(target, sync=True) != file.sha256:
            raise DataError(f"{source} was changed while it was copied; export it again")


def _is_linked(source: Path, target: Path) -> bool:
    try:
        target.hardlink_to(source)
    except OSError:
        return False
    return True


def _write_labels(records: Path, partial: Path) -> None:
    with (
        records.open(encoding="utf-8", newline="\n") as lines,
        partial.open("w", encoding="utf-8", newline="\n") as out,
    ):
        out.writelines(_array(lines))
        out.flush()
        os.fsync(out.fileno())


def _array(lines: Iterable[str]) -> Iterator[str]:
    """A JSON array of the lines' values as jq prints it, a piece at a time."""
    before = "[\n"
    for line in lines:
        text = json.dumps(json.loads(line), ensure_ascii=False, indent=_INDENT)
        # jq escapes this one too. In a string a line end is escaped, so that those here are ours.
        text = text.replace("\x7f", "\\u007f").replace("\n", "\n" + " " * _INDENT)
        yield f"{before}{' ' * _INDENT}{text}"
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"
