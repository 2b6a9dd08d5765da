"""A source's file, fetched or found: of the newest version that can be had."""

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from qinstruct_trainer.contract.config import Source
from qinstruct_trainer.contract.errors import UnavailableError
from qinstruct_trainer.durable_files import link_or_copy
from qinstruct_trainer.prep.progress import Progress, Report
from qinstruct_trainer.prep.sources.http import ask_version, forget, served
from qinstruct_trainer.prep.sources.limits import Limits
from qinstruct_trainer.prep.sources.mirrors import fetch_from_first, what_failed
from qinstruct_trainer.prep.unit_cache import UnitCache
from qinstruct_trainer.prep.unit_keys import extracted_unit, fetched_unit
from qinstruct_trainer.prep.unit_manifest import Unit
from qinstruct_trainer.prep.versions import FIRST, Versions, known_path, note_fetched
from qinstruct_trainer.storage_errors import file_sentence, storage_errors

_ASKING_SECONDS: Final = 60.0  # of a server that is asked which version it has
_log = logging.getLogger(__name__)
T = TypeVar("T")


class MadeMeanwhileError(Exception):
    """Another run has made a unit, so that nothing is to be fetched for it."""

    def __init__(self, folder: Path):
        super().__init__(str(folder))
        self.folder = folder


class _OtherVersionError(Exception):
    """The file is there, of another version than the one that was to be fetched."""

    def __init__(self, version: str):
        super().__init__(version)
        self.version = version


@dataclass(frozen=True)
class SourceFile:
    """The file of a source in a cache.

    Attributes:
        limits: Of each address.
        versions: Of files that nothing pins.
    """

    source: Source
    cache: UnitCache
    report: Report
    limits: Limits
    versions: Versions

    def made_of_newest(self, make: Callable[[Unit], T]) -> T:
        """What is made of the version that this run takes.

        Args:
            make: Takes its unit, and may `fetch` it.
        """
        version = self._newest() if self.source.is_asked_again else FIRST
        while True:  # to an earlier version each time, or to one that has come
            try:
                return make(fetched_unit(self.source, version))
            except _OtherVersionError as other:
                version = other.version

    def fetch(self, unit: Unit, unless: Unit | None = None) -> Path:
        """The folder with the file, if it is there or `unless` is not; only in `made_of_newest`.

        Whoever deletes an archive has published its files before: so this is asked where the
        archive's lease is held, and a run that waited for it does not fetch it once more.

        Raises:
            MadeMeanwhileError: by another run, whose archive is gone.
        """
        partial = self.cache.downloads / unit.folder_name

        def build(folder: Path) -> None:
            made = self.cache.find(unless) if unless else None
            if made is not None:
                raise MadeMeanwhileError(made)
            self._move_on()
            path = self._sent(partial)

            def place(folder: Path) -> None:
                # The user's own file is copied: a second name would let each change the other's.
                put = link_or_copy if path == partial else shutil.copyfile
                put(path, folder / "file")

            if self.source.is_asked_again:
                self._note_served(partial, path, place)
            place(folder)

        folder = self.cache.get(unit, build)
        forget(partial)
        return folder

    def _newest(self) -> str:
        limits = replace(self.limits, max_bytes=None, total_seconds=_ASKING_SECONDS)

        def is_coming(version: str) -> bool:
            return self.cache.is_being_made(fetched_unit(self.source, version))

        with storage_errors(str(self._known), file_sentence):
            return self.versions.choose(
                self.source, self._known, self._find, is_coming, lambda at: ask_version(at, limits)
            )

    @property
    def _known(self) -> Path:
        return known_path(self.cache.root, fetched_unit(self.source).folder_name)

    def _find(self, version: str) -> Path | None:
        """The unit of a version, or what was made of it."""
        unit = fetched_unit(self.source, version)
        units = (unit, extracted_unit(self.source, unit.key))
        return next(filter(None, map(self.cache.published, units)), None)

    def _move_on(self) -> None:
        """Fetch nothing where others that had the same to fetch have got a newer version.

        Raises:
            _OtherVersionError: they have.
        """
        version = self.versions.move_on(self._known, self._find)
        if version is not None:
            raise _OtherVersionError(version)

    def _sent(self, partial: Path) -> Path:
        """The file from the first of the addresses that gives it.

        Raises:
            _OtherVersionError: none does, and an earlier version is there.
        """
        progress = Progress(self.report, "fetch", self.source.name, "bytes")
        progress.set(0)  # its server may take minutes to answer
        try:
            return fetch_from_first(self.source, partial, progress, limits=self.limits)
        except UnavailableError as error:
            version = self.versions.fall_back(self._known, self._find)
            if version is None:
                raise
            _log.warning("%s; its earlier file in the cache is taken", what_failed(error))
            raise _OtherVersionError(version) from error

    def _note_served(self, partial: Path, path: Path, place: Callable[[Path], None]) -> None:
        """Note which version came, before its unit is there: who finds that has it checked.

        Raises:
            _OtherVersionError: another one than was to be fetched; its unit is there.
        """
        version = self.versions.taken[self._known.stem]
        came = note_fetched(self._known, version, *served(self.source, partial, path))
        if came != version:
            self.versions.taken[self._known.stem] = came
            self.cache.get(fetched_unit(self.source, came), place)
            forget(partial)
            raise _OtherVersionError(came)
