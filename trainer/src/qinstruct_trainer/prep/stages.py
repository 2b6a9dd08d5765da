"""The stages of prep: what the key of each one's unit is made of, and what builds it.

Every method returns a finished unit, built now or found. A key holds the version of the code
that makes the unit (`prep.code_versions`).
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from qinstruct_trainer.builtin.dataset import write_builtin
from qinstruct_trainer.contract.config import ModelSource, Source
from qinstruct_trainer.contract.errors import ConfigError
from qinstruct_trainer.contract.events import Quantity, Stage
from qinstruct_trainer.contract.field_paths import source_field
from qinstruct_trainer.contract.sources import listed_item
from qinstruct_trainer.contract.urls import shown_url
from qinstruct_trainer.data.images import decoders
from qinstruct_trainer.durable_files import delete_tree, link_or_copy
from qinstruct_trainer.prep.extract import extract
from qinstruct_trainer.prep.gate import GateReport, RecordFile, inspect_records
from qinstruct_trainer.prep.image_list import is_image_list, read_image_list, referenced_names
from qinstruct_trainer.prep.images import Findings
from qinstruct_trainer.prep.index import write_index
from qinstruct_trainer.prep.merge import merge
from qinstruct_trainer.prep.model_process import ModelTask, build_apart
from qinstruct_trainer.prep.pixels import PixelUnits
from qinstruct_trainer.prep.progress import Progress, Report
from qinstruct_trainer.prep.source_file import MadeMeanwhileError, SourceFile
from qinstruct_trainer.prep.sources.image_downloads import fetch_images
from qinstruct_trainer.prep.sources.limits import Limits
from qinstruct_trainer.prep.unit_cache import HUB, UnitCache
from qinstruct_trainer.prep.unit_keys import (
    code_of,
    extracted_unit,
    local_stamp,
    model_identity,
    unit_of,
)
from qinstruct_trainer.prep.unit_manifest import Unit, WrittenFile
from qinstruct_trainer.prep.versions import Versions

_log = logging.getLogger(__name__)
RECORDS = "records.jsonl"
_IMAGES = "images.json"
REPORT = "report.json"
DEAD = "dead.json"
_BUILTIN_STRATEGIES = ("after", "mix")


@dataclass(frozen=True)
class FinishedUnit:
    """A finished unit: its key goes into the keys of what is made from it."""

    key: str
    folder: Path


@dataclass(frozen=True)
class ImageFolders:
    """Image folders, and the keys of the units they belong to."""

    roots: tuple[Path, ...]
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Labels:
    """Label files in the order of the merge, and the keys of the units they belong to."""

    files: tuple[RecordFile, ...]
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Stages:
    """The stages over one cache.

    Attributes:
        max_bytes: Most bytes of a download, by the name of its source.
        networks: Which it may come from besides public addresses; None: from any.
        keeps_archives: Of images, when their files have been extracted.
        versions: Of files that nothing pins.
    """

    cache: UnitCache
    report: Report
    max_bytes: Mapping[str, int] = field(default_factory=dict)
    networks: tuple[str, ...] | None = None
    keeps_archives: bool = False
    versions: Versions = field(default_factory=Versions)

    def fetch(self, source: Source) -> FinishedUnit:
        """The source's file, as `file`."""
        file = self._file(source)
        return file.made_of_newest(lambda unit: FinishedUnit(unit.key, file.fetch(unit)))

    def images(self, source: Source, labels: Labels) -> FinishedUnit:
        """The images of a source's archive or list, below `files/<into>`.

        An archive goes when its files are there, if no other run needs it, and is not fetched
        again for them: their key is known without it. A list stays.
        """
        file = self._file(source)
        return file.made_of_newest(lambda archive: self._images(file, archive, labels))

    def _images(self, file: SourceFile, archive: Unit, labels: Labels) -> FinishedUnit:
        unit = extracted_unit(file.source, archive.key)
        folder = self.cache.find(unit)
        if folder is None:
            try:
                fetched = FinishedUnit(archive.key, file.fetch(archive, unless=unit))
            except MadeMeanwhileError as made:
                folder = made.folder
            else:
                if is_image_list(fetched.folder / "file"):
                    return self.fetch_listed(file.source, fetched, labels)
                folder = self.extract(file.source, fetched).folder
        if self.keeps_archives:
            self.cache.find(archive)  # which notes that this run uses it, too
        else:
            self.cache.discard(archive, made=folder)
        return FinishedUnit(unit.key, folder)

    def _file(self, source: Source) -> SourceFile:
        limits = Limits(self.max_bytes.get(source.name), self.networks)
        return SourceFile(source, self.cache, self.report, limits, self.versions)

    def builtin(self, source: Source, seed: int) -> FinishedUnit:
        """The builtin data set: `labels.json`, `images/`, `heldout.json`.

        The URL is `builtin:` or `builtin:<strategy>`.
        """
        strategy = source.url.removeprefix("builtin:") or "after"
        if strategy not in _BUILTIN_STRATEGIES:
            raise ConfigError(
                f"{source_field(source.name)}.url {source.url} names no strategy; "
                f"use builtin:{' or builtin:'.join(_BUILTIN_STRATEGIES)}"
            )

        def build(folder: Path) -> None:
            progress = self._progress("fetch", source.name, "files")
            progress.set(0)  # drawing the pictures takes seconds
            write_builtin(folder, seed=seed, strategy=strategy)
            progress.set(sum(1 for _ in folder.rglob("*")))
            progress.finish()

        unit = unit_of("fetch", source.name, strategy, str(seed), maker="builtin")
        return FinishedUnit(unit.key, self.cache.get(unit, build))

    def extract(self, source: Source, fetched: FinishedUnit) -> FinishedUnit:
        """The archive's files below `files/<into>`."""
        unit = extracted_unit(source, fetched.key)

        def build(folder: Path) -> dict[str, WrittenFile]:
            progress = self._progress("extract", source.name, "files")
            into = PurePosixPath("files", source.into)
            written = extract(fetched.folder / "file", source.name, folder / into, progress)
            return {f"{into}/{path}": file for path, file in written.items()}

        return FinishedUnit(unit.key, self.cache.get(unit, build, resumes=True))

    def fetch_listed(self, source: Source, fetched: FinishedUnit, labels: Labels) -> FinishedUnit:
        """The images of a fetched list that the labels refer to, below `files/<into>`.

        `dead.json` has those without an image, and why: what that means is the gate's policy.
        """
        item, parts = listed_item(source.name), (source.into, fetched.key, *labels.keys)
        unit = unit_of("fetch", item, *parts, maker="listed")
        partial = self.cache.downloads / unit.folder_name

        def build(folder: Path) -> None:
            wanted = referenced_names(labels.files, source.into)
            images = read_image_list(fetched.folder / "file", source.name, wanted)
            progress = self._progress("fetch", item, "files")
            limits = Limits(self.max_bytes.get(source.name), self.networks)
            dead = fetch_images(images, partial, source.name, progress, limits=limits)
            target = folder / "files" / source.into
            target.mkdir(parents=True)
            for image in images:
                if image.name not in dead:
                    link_or_copy(partial / image.name, target / image.name)
            (folder / DEAD).write_text(json.dumps(dead, indent=2) + "\n", "utf-8")
            if dead:
                _log.warning(
                    "%s: %d of %d addresses have no image; %s of this unit lists them with reasons",
                    *(source.name, len(dead), len(images), DEAD),
                )

        finished = FinishedUnit(unit.key, self.cache.get(unit, build))
        delete_tree(partial)
        return finished

    def pixel_units(
        self, images: ImageFolders, size: int, reserve: int, *, stores: bool = True
    ) -> PixelUnits:
        """What has been decoded of the images, and will be; see `PixelUnits`."""
        code = code_of("pixels")
        return PixelUnits(self.cache, images.roots, images.keys, size, code, reserve, stores)

    def gate(self, labels: Labels, images: ImageFolders, pixels: PixelUnits) -> FinishedUnit:
        """What the gate found, `report.json`, and what it read, `records.jsonl`, `images.json`.

        Whether the policy accepts the report is not part of the unit. What was found of each
        image is, but is also kept by `pixels`, for other labels.
        """
        names = tuple(file.source for file in labels.files)
        published = tuple(str(file.published) for file in labels.files)
        parts = (*names, *published, *labels.keys, *images.keys, decoders())
        unit = unit_of("gate", "records", *parts)

        def build(folder: Path) -> None:
            progress = self._progress("gate", "records", "files")

            def examine(names: Sequence[str]) -> Findings:
                (folder / _IMAGES).write_text(json.dumps(names) + "\n", "utf-8")
                return pixels.examine(names, progress)

            found = inspect_records(labels.files, folder / RECORDS, examine)
            (folder / REPORT).write_text(found.model_dump_json(indent=2) + "\n", "utf-8")

        return FinishedUnit(unit.key, self.cache.get(unit, build))

    def pixels(self, gate: FinishedUnit, pixels: PixelUnits) -> Path | None:
        """The pixels of all images that the gate has seen: a table; None as in `PixelUnits`."""
        names = json.loads((gate.folder / _IMAGES).read_bytes())
        return pixels.table(names, self._progress("pixels", "table", "files"))

    def merge(self, gate: FinishedUnit, found: GateReport) -> FinishedUnit:
        """The good records of all sources: `records.jsonl`."""
        unit = unit_of("merge", "records", gate.key)

        def build(folder: Path) -> None:
            progress = self._progress("merge", "records", "records")
            merge(gate.folder / RECORDS, found, folder / RECORDS, progress)

        return FinishedUnit(unit.key, self.cache.get(unit, build))

    def model(self, source: ModelSource, seed: int, merged: FinishedUnit) -> FinishedUnit:
        """The starting checkpoint in the Hugging Face layout."""
        item = shown_url(source.base) or source.kind
        # Only the tiny model is made from the data (its tokenizer) and the seed.
        made_from = (str(seed), merged.key) if source.kind == "tiny" else ()
        places = (source.base, source.projector, source.vision_tower)
        stamps = tuple(local_stamp(place) for place in places)
        unit = unit_of("model", item, model_identity(source), *stamps, *made_from)

        def build(folder: Path) -> None:
            progress = self._progress("model", item, "bytes")

            def note(done: int, total: int) -> None:
                progress.total = total
                progress.set(done)

            hub, records = self.cache.shared_downloads(HUB), merged.folder / RECORDS
            build_apart(ModelTask(source, folder, seed, records, hub, self.networks), note)
            progress.finish()

        return FinishedUnit(unit.key, self.cache.get(unit, build))

    def index(
        self,
        merged: FinishedUnit,
        model: FinishedUnit,
        images: ImageFolders,
        *,
        max_length: int,
        num_records: int,
    ) -> FinishedUnit:
        """The token index. It holds the paths of the image folders, so they are in its key.

        `num_records` is only for the progress.
        """
        roots = tuple(str(root) for root in images.roots)
        keys = (merged.key, model.key, *images.keys)
        unit = unit_of("index", "records", str(max_length), *keys, *roots)

        def build(folder: Path) -> None:
            progress = Progress(self.report, "index", "records", "records", num_records)
            records = merged.folder / RECORDS
            write_index(
                records, model.folder, images.roots, folder, progress, max_length=max_length
            )

        return FinishedUnit(unit.key, self.cache.get(unit, build))

    def _progress(self, stage: Stage, item: str, quantity: Quantity) -> Progress:
        return Progress(self.report, stage, item, quantity)
