"""What is in a cache: units, partial downloads, leftovers, and what no run has made."""

import re
import stat
from collections import ChainMap, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast, get_args

from qinstruct_trainer.contract.cache import CacheEntry, CacheRun, Kind
from qinstruct_trainer.contract.errors import ConfigError
from qinstruct_trainer.contract.events import Stage
from qinstruct_trainer.durable_files import allocated
from qinstruct_trainer.lease import is_free
from qinstruct_trainer.prep.unit_cache import (
    BUILDING,
    DOWNLOADS,
    HUB,
    LEASES,
    PRUNED,
    UNITS,
    lease_of,
)
from qinstruct_trainer.prep.unit_manifest import (
    MANIFEST,
    Unit,
    UnitManifest,
    Walked,
    compare,
    read_manifest,
    walk,
)
from qinstruct_trainer.prep.uses import FoundUse, state_of, uses_of

_STAGES: Final = "|".join(get_args(Stage))
_UNIT: Final = re.compile(rf"(?P<stage>{_STAGES})-(?P<item>[A-Za-z0-9._-]+)-[0-9a-f]{{16}}")
_LEFTOVER: Final = re.compile(rf"\.(?P<unit>.+)(?:{re.escape(BUILDING)}|{re.escape(PRUNED)})")

Inode = tuple[int, int]


@dataclass(frozen=True)
class Ended:
    """Which runs a person knows to have ended, of those that nothing is known of here.

    Attributes:
        names: By their names.
        after: And those that have prepared longer ago, in seconds.
    """

    names: frozenset[str] = frozenset()
    after: float | None = None

    def run_of(self, found: FoundUse, now: float) -> CacheRun:
        """The run that a file of use is of."""
        use = found.use
        over = self.after is not None and now - found.time > self.after
        state = "gone" if over or use.run in self.names else state_of(use)
        return CacheRun(name=use.run, output=use.output, state=state)


@dataclass(frozen=True)
class Found:
    """One thing in a cache.

    Attributes:
        entry: What is told of it.
        path: Where it is.
        unit: The name of the unit that it is or belongs to: whose lease guards it.
        own_bytes: Of files without another name.
        shared: Sizes of the others by inode.
    """

    entry: CacheEntry
    path: Path
    unit: str
    own_bytes: int = 0
    shared: Mapping[Inode, int] = field(default_factory=dict)


def num_bytes_of(found: Iterable[Found]) -> int:
    """What they take together; bytes with several names once."""
    things = list(found)
    return sum(one.own_bytes for one in things) + sum(
        ChainMap(*(dict(one.shared) for one in things)).values()
    )


def list_cache(root: Path, now: float, ended: Ended | None = None) -> tuple[Found, ...]:
    """Everything in a cache: units by stage and item, then what is partial, then what is foreign.

    Args:
        root: The cache.
        now: Unix time in seconds.
        ended: See `Ended`.

    Raises:
        ConfigError: it is no cache.
        OSError: it cannot be read.
    """
    units = root / UNITS
    if units.is_symlink() or not units.is_dir():
        raise ConfigError(
            f"--cache {root} is no cache of qinstruct: it has no folder {UNITS}; give the folder "
            "that `qinstruct run --cache` was given, or WORKDIR/cache"
        )
    live = frozenset(_live_leases(units))
    look = _Look(root, now, live, ended or Ended())
    things = [look.in_units(path) for path in _paths_in(units)]
    things += [look.in_downloads(path) for path in _paths_in(root / DOWNLOADS)]
    return tuple(sorted(things, key=_place))


def _place(found: Found) -> tuple[int, int, str]:
    """Where it stands in a list."""
    stages, entry = get_args(Stage), found.entry
    stage = stages.index(entry.stage) if entry.stage in stages else len(stages)
    return get_args(Kind).index(entry.kind), stage, entry.name


def _paths_in(folder: Path) -> Sequence[Path]:
    if folder.is_symlink() or not folder.is_dir():
        return ()
    return [path for path in folder.iterdir() if path.name != LEASES]


def _live_leases(units: Path) -> Iterator[str]:
    """Names of the units whose leases may be held."""
    names = {path.name.rpartition(".")[0] for path in (units / LEASES).glob("*.[0-9]*")}
    return (name for name in names if not is_free(lease_of(units / name)))


@dataclass(frozen=True)
class _Look:
    """One look at a cache: when, whose leases are held, and which runs do not count."""

    root: Path
    now: float
    live: frozenset[str]
    ended: Ended

    def in_units(self, path: Path) -> Found:
        """What an entry of the folder `units` is."""
        parts = _UNIT.fullmatch(path.name)
        leftover = _LEFTOVER.fullmatch(path.name)
        is_plain = not path.is_symlink() and path.is_dir()
        if is_plain and parts is not None:
            return self._unit(path, parts)
        if is_plain and leftover is not None and _UNIT.fullmatch(leftover["unit"]):
            return self._partial(path, "building", leftover["unit"], ())
        return _measured(path, path.name, _entry("foreign", path, None))

    def in_downloads(self, path: Path) -> Found:
        """What an entry of the folder `downloads` is: named after the unit that it is for."""
        parts = _UNIT.match(path.name)
        leftover = _LEFTOVER.fullmatch(path.name)
        if path.is_symlink() or not (parts or leftover or path.name == HUB):
            return _measured(path, path.name, _entry("foreign", path, None))
        if leftover is not None:
            return self._partial(path, "building", leftover["unit"], ())
        name = parts[0] if parts else HUB
        return self._partial(path, "download", name, self._runs(uses_of(self.root, name)))

    def _unit(self, path: Path, parts: re.Match[str]) -> Found:
        manifest = read_manifest(path)
        uses = uses_of(self.root, path.name)
        runs, used = self._runs(uses), max((found.time for found in uses), default=0.0)
        made = _time(path / MANIFEST if manifest else path)
        facts = {
            "made": made,
            "used": max(made, used),
            "runs": runs,
            "held_by": self._holder(path.name, runs),
        }
        entry = _entry("unit", path, parts).model_copy(update=facts)
        return _measured(path, path.name, entry, manifest)

    def _partial(self, path: Path, kind: Kind, name: str, runs: tuple[CacheRun, ...]) -> Found:
        facts = {"runs": runs, "held_by": self._holder(name, runs)}
        entry = _entry(kind, path, _UNIT.match(name)).model_copy(update=facts)
        return _measured(path, name, entry)

    def _runs(self, uses: Sequence[FoundUse]) -> tuple[CacheRun, ...]:
        return tuple(dict.fromkeys(self.ended.run_of(found, self.now) for found in uses))

    def _holder(self, name: str, runs: tuple[CacheRun, ...]) -> str:
        if name in self.live:
            return "it is being made"
        unfinished = next((run.name for run in runs if run.state == "unfinished"), None)
        return "" if unfinished is None else f"run {unfinished} has not ended"


def _entry(kind: Kind, path: Path, parts: re.Match[str] | None) -> CacheEntry:
    time = _time(path)
    return CacheEntry(
        kind=kind,
        name=path.name,
        stage=parts["stage"] if parts else "",
        item=parts["item"] if parts else "",
        num_bytes=0,
        made=time,
        used=time,
    )


def _time(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0


class _Sizes:
    """Adds up what passes by."""

    def __init__(self, newest: float) -> None:
        self.own = self.total = 0
        self.newest = newest
        self.shared: dict[Inode, int] = {}

    def of(self, entries: Iterable[Walked]) -> Iterator[Walked]:
        for entry in entries:
            status = entry[2]
            self.total += allocated(status)
            self.newest = max(self.newest, status.st_mtime)
            if status.st_nlink > 1:
                self.shared[status.st_dev, status.st_ino] = allocated(status)
            else:
                self.own += allocated(status)
            yield entry


def _measured(
    path: Path, unit: str, entry: CacheEntry, manifest: UnitManifest | None = None
) -> Found:
    """With its sizes, and a unit with what it is beside its manifest: one walk has both.

    Of a part that cannot be read nothing is counted.
    """
    sizes = _Sizes(entry.used)
    facts: dict[str, object] = {"whole": False} if entry.kind == "unit" else {}
    try:
        if manifest is None:
            deque(sizes.of(_entries(path)), maxlen=0)
        else:
            found = compare(sizes.of(_entries(path)), manifest)
            is_whole = found.changed is None and _is_of(manifest, path)
            facts = {"whole": is_whole, "unverified": is_whole and bool(found.retimed)}
    except (OSError, RecursionError):
        facts["held_by"] = entry.held_by or "it cannot be read"
    facts["num_bytes"] = sizes.total
    if entry.kind != "unit":
        facts["used"] = sizes.newest
    return Found(entry.model_copy(update=facts), path, unit, sizes.own, sizes.shared)


def _is_of(manifest: UnitManifest, folder: Path) -> bool:
    unit = Unit(cast(Stage, manifest.stage), manifest.item, manifest.key_parts)
    return unit.folder_name == folder.name


def _entries(path: Path) -> Iterator[Walked]:
    status = path.lstat()
    if stat.S_ISDIR(status.st_mode):
        yield from walk(path)
    elif stat.S_ISREG(status.st_mode):
        yield path.name, path, status
