"""Which version of a file that nothing pins is taken: the cached one, or one that is fetched anew.

Without a digest or a revision a file is what its server sends. So a cached one is trusted for some
days, and then its server is asked once whether it has another. That one is a unit of its own: who
has prepared with the earlier one keeps it, and nothing of a published unit is ever changed.

What was said of a version, and when, is in `<cache>/versions/<unit>.json`, by the name of the
unit that the first version has. Two preparations may write it at once: the name of a version
follows from the one before and from what the server says, so that both write the same.

What was said of earlier versions stays there. One of them is taken where the server goes away
before it has sent the newest; and what comes is seen to be of another version than was asked for.
"""

import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qinstruct_trainer.contract.config import TRUSTED_DAYS, Prepared, Source
from qinstruct_trainer.contract.errors import RunError
from qinstruct_trainer.contract.field_paths import source_field
from qinstruct_trainer.contract.urls import shown_url, url_identity
from qinstruct_trainer.durable_files import delete_tree, read_bounded, write_durably
from qinstruct_trainer.prep.sources.answers import Stamp
from qinstruct_trainer.prep.sources.mirrors import what_failed

VERSIONS: Final = "versions"
FIRST: Final = ""
"""The version of a file that was fetched first, in whose unit's key there is none."""
_TRUSTED: Final = TRUSTED_DAYS * 86_400.0
_MAX_EARLIER: Final = 8  # in the note of a server whose machines each call a file another one
_MAX_BYTES: Final = 1 << 16
_log = logging.getLogger(__name__)


class Version(BaseModel):
    """One version of a file that nothing pins.

    Attributes:
        version: Its name.
        identity: Of the address that it came from (`url_identity`); mirrors date files differently.
        stamp: What its server said of it.
    """

    model_config = ConfigDict(frozen=True)
    version: Annotated[str, Field(pattern="^(|[0-9a-f]{16})$")] = FIRST
    identity: str
    stamp: Stamp = Stamp()

    def may_be(self, sent: "Version") -> bool:
        """Whether what was sent is this version, or cannot be compared with it."""
        return self.identity != sent.identity or self.stamp.is_of(sent.stamp) is not False


class Known(Version):
    """What is known of such a file: its newest version, and those before.

    Attributes:
        asked: When its server said that it has the newest, Unix time in seconds.
        earlier: What it said of those before, the newest first.
    """

    asked: float = 0.0
    earlier: Annotated[tuple[Version, ...], Field(max_length=_MAX_EARLIER)] = ()

    def find(self, version: str) -> Version | None:
        """What is known of a version."""
        return next((each for each in (self, *self.earlier) if each.version == version), None)

    def before(self, version: str) -> list[str]:
        """The versions before one, the newest first; all of them where it is not known."""
        names = [self.version, *(each.version for each in self.earlier)]
        names += [FIRST] if FIRST not in names else []
        return names[names.index(version) + 1 :] if version in names else names


@dataclass(frozen=True)
class Versions:
    """The versions that one preparation takes.

    Attributes:
        before: What an earlier preparation of the run has handed over: training may have begun
            with that, so its versions are kept for as long as they are there.
        taken: Those of this one, by the names of units of first versions.
    """

    before: Prepared | None = None
    taken: dict[str, str] = field(default_factory=dict)

    def choose(
        self,
        source: Source,
        path: Path,
        find: Callable[[str], Path | None],
        is_coming: Callable[[str], bool],
        ask: Callable[[Source], Stamp],
    ) -> str:
        """The version of a source's file to take.

        Args:
            source: Of an address that is asked again.
            path: Where it is noted what is known of the file (`known_path`).
            find: The folder that a version's file, or what was made of it, is in.
            is_coming: Whether somebody is fetching a version's file.
            ask: What the server of a source's url has now.
        """
        kept = self._kept(path.stem)
        if kept is None or find(kept) is None:
            kept = _newest(source, path, find, is_coming, ask)
        self.taken[path.stem] = kept
        return kept

    def fall_back(self, path: Path, find: Callable[[str], Path | None]) -> str | None:
        """The newest version before the one that is taken that is there: it is taken instead."""
        known, taken = _read(path), self.taken.get(path.stem)
        version = (
            _earlier_one(known, taken, find) if known is not None and taken is not None else None
        )
        if version is not None:
            self.taken[path.stem] = version
        return version

    def move_on(self, path: Path, find: Callable[[str], Path | None]) -> str | None:
        """The newest version if it is there, and another one was taken: that is gone."""
        known, taken = _read(path), self.taken.get(path.stem)
        if known is None or taken in (None, known.version) or find(known.version) is None:
            return None
        self.taken[path.stem] = known.version
        return known.version

    def _kept(self, name: str) -> str | None:
        if self.before is None:
            return None
        # Of earlier versions of prep, which knew only one version of a file.
        return FIRST if self.before.versions is None else self.before.versions.get(name)


def known_path(cache: Path, unit: str) -> Path:
    """Where it is noted what is known of a file, by the name of its first version's unit."""
    return cache / VERSIONS / f"{unit}.json"


def note_fetched(path: Path, version: str, url: str, stamp: Stamp) -> str:
    """Note what a server said of the file that it has sent.

    Args:
        path: Where that is noted (`known_path`).
        version: The version that was asked for.
        url: The address that has sent it.
        stamp: What its server said.

    Returns:
        The version that it is: a file may have changed since its server was asked.

    Raises:
        OSError: it cannot be written.
    """
    sent = Version(version=version, identity=url_identity(url), stamp=stamp)
    known = _read(path)
    was = sent if known is None else known.find(version)
    if known is None or was is None or was.may_be(sent):
        # Of an earlier version that others were still fetching nothing new is known.
        if known is None or known.version == version:
            earlier = known.earlier if known else ()
            _write(path, Known(**dict(sent), asked=time.time(), earlier=earlier))
        return version
    if not known.may_be(sent):
        known = _next(known, sent.identity, stamp)
        _write(path, known)
    return known.version


def _newest(
    source: Source,
    path: Path,
    find: Callable[[str], Path | None],
    is_coming: Callable[[str], bool],
    ask: Callable[[Source], Stamp],
) -> str:
    known = _read(path)
    # Asked first: what is no longer coming afterwards is there, and was noted before.
    coming = known is not None and is_coming(known.version)
    there = find(FIRST if known is None else known.version)
    known = known or _read(path)
    if there is None and (known is None or coming):
        return FIRST if known is None else known.version
    # What is not there is asked for before it is fetched: others may have made more of the version
    # that it had. A clock that was moved back makes no file younger.
    if there is not None and known is not None and 0 <= time.time() - known.asked < _TRUSTED:
        return known.version
    known = known or Known(identity=url_identity(source.url), stamp=_stamp_of_file(there))
    at = source.model_copy(update={"url": _address(source, known), "mirrors": ()})
    try:
        now = ask(at)
    except RunError as error:
        earlier = None if there else _earlier_one(known, known.version, find)
        if there or earlier is not None:
            which = "file" if there else "earlier file"
            _log.warning("%s; its %s in the cache is taken", what_failed(error), which)
        return known.version if earlier is None else earlier
    known = _with_news(at, known, now)
    _write(path, known)
    return known.version


def _with_news(source: Source, known: Known, now: Stamp) -> Known:
    """What is known when the server has said what it has now."""
    who = (source.name, shown_url(source.url))
    is_same = known.stamp.is_of(now)
    if is_same is False:
        _log.warning(
            "%s: %s has another file than it had; it is fetched anew, and runs that were prepared "
            "with the earlier one keep that",
            *who,
        )
        return _next(known, known.identity, now)
    if is_same is None:
        _log.warning(
            "%s: nothing that %s says of its file can be compared with the one before, so that one "
            "is taken; set %s.sha256 to be sure of it",
            *(*who, source_field(source.name)),
        )
    stamp = known.stamp.model_copy(update=now.model_dump(exclude_none=True))
    return known.model_copy(update={"stamp": stamp, "asked": time.time()})


def _next(known: Known, identity: str, now: Stamp) -> Known:
    """What is known when a server has a version that it did not have."""
    said = f"{known.version} {identity} {now.model_dump_json()}"
    was = Version(version=known.version, identity=known.identity, stamp=known.stamp)
    return Known(
        version=hashlib.sha256(said.encode()).hexdigest()[:16],
        identity=identity,
        stamp=now,
        asked=time.time(),
        earlier=(was, *known.earlier)[:_MAX_EARLIER],
    )


def _earlier_one(known: Known, version: str, find: Callable[[str], Path | None]) -> str | None:
    return next((each for each in known.before(version) if find(each) is not None), None)


def _address(source: Source, known: Known) -> str:
    """The one of the source's addresses that the file came from."""
    urls = (source.url, *source.mirrors)
    return next((url for url in urls if url_identity(url) == known.identity), source.url)


def _stamp_of_file(folder: Path | None) -> Stamp:
    """Of a unit that an earlier version of prep has fetched; its archive may be gone."""
    path = folder and folder / "file"
    return Stamp(num_bytes=path.stat().st_size if path and path.is_file() else None)


def _read(path: Path) -> Known | None:
    """What is known; behind a link, or in a note of another make, nothing."""
    try:
        if path.parent.is_symlink():
            return None
        return Known.model_validate_json(read_bounded(path, _MAX_BYTES))
    except (OSError, ValidationError):
        return None


def _write(path: Path, known: Known) -> None:
    if path.parent.is_symlink() or not path.parent.is_dir():
        delete_tree(path.parent)  # planted: nothing is written to where a link leads
    if path.is_dir() and not path.is_symlink():
        delete_tree(path)  # no rename goes over a folder
    path.parent.mkdir(exist_ok=True)
    write_durably(path, known.model_dump_json())
