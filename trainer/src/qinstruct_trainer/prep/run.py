"""Runs all stages of prep in order and writes `prepared.json`."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from qinstruct_trainer.builtin import IMAGE_SIZE
from qinstruct_trainer.contract import output_files
from qinstruct_trainer.contract.config import Prepared, PrepConfig, Source
from qinstruct_trainer.contract.data_bytes import TIMES_LABELS, data_bytes
from qinstruct_trainer.contract.errors import ConfigError, StorageError
from qinstruct_trainer.contract.events import PrepDone, emit
from qinstruct_trainer.durable_files import write_durably
from qinstruct_trainer.environment import check_connection_settings, check_hub_settings
from qinstruct_trainer.prep.gate import GateReport, RecordFile, apply_policy
from qinstruct_trainer.prep.progress import Report, WithSources
from qinstruct_trainer.prep.sources.locations import SCHEMES, location_of
from qinstruct_trainer.prep.stages import REPORT, FinishedUnit, ImageFolders, Labels, Stages
from qinstruct_trainer.prep.unit_cache import UnitCache
from qinstruct_trainer.prep.versions import Versions
from qinstruct_trainer.prep.volumes import check_volumes

_log = logging.getLogger(__name__)
_CLIP_SIZE: Final = 336  # openai/clip-vit-large-patch14-336, the tower of every other model


def run_prep(config: PrepConfig, report: Report = emit) -> Prepared:
    """Make, or find, every unit that the run needs, and hand them over.

    Killed at any moment and started again, it goes on: finished units, the bytes of a download
    and the files of an archive are kept, everything else of the interrupted stage is made anew.

    Args:
        config: What to prepare.
        report: Takes the events; stdout by default.

    Raises:
        RunError: a sentence for the user, see `qinstruct_trainer.contract.errors`.
    """
    _check_environment(config)
    os.umask(os.umask(0o077) | 0o022)  # whatever it was: only we write into the shared cache
    check_volumes(config.cache, config.output, config.cache_bytes, config.output_bytes)
    report = WithSources(config.sources, report)
    cache = UnitCache(config.cache.absolute(), config.run, report, output=config.output)
    path = config.output / output_files.PREPARED
    versions = Versions(_prepared_before(path))
    stages = Stages(
        *(cache, report, config.max_bytes, config.private_networks, config.keep_archives, versions)
    )
    others = [source for source in config.sources if source.kind != "images"]
    fetched = {source.name: _obtain(stages, source, config.seed) for source in others}
    labels = _labels(config.sources, fetched)
    images = _images(stages, config.sources, fetched, labels)
    size, reserve = _image_size(config), _reserve(config, labels)
    stores = config.pixel_store != "Never"
    pixel_units = stages.pixel_units(images, size, reserve, stores=stores)
    gate = stages.gate(labels, images, pixel_units)
    found = _accepted(config, gate)
    pixels = stages.pixels(gate, pixel_units)
    merged = stages.merge(gate, found)
    model = stages.model(config.model, config.seed, merged)
    num_records = found.num_records - found.num_bad
    index = stages.index(
        merged, model, images, max_length=config.max_length, num_records=num_records
    )
    prepared = Prepared(
        index=index.folder,
        model=model.folder,
        pixels=pixels,
        gate_report=gate.folder / REPORT,
        heldout=_heldout(config.sources, fetched),
        num_records=num_records,
        num_dropped=found.num_bad,
        versions=versions.taken,
    )
    _write(path, prepared.to_json())
    report(
        PrepDone(num_records=prepared.num_records, num_dropped=prepared.num_dropped, path=str(path))
    )
    return prepared


def _prepared_before(path: Path) -> Prepared | None:
    """What an earlier preparation of the run has handed over, if it can be read."""
    try:
        return Prepared.read(path)
    except (ConfigError, StorageError):
        return None


def _check_environment(config: PrepConfig) -> None:
    """Now, not when the model is fetched hours later."""
    places = (config.model.base, config.model.projector or "")
    from_hub = any(place and not place.startswith(("file:", "/", ".")) for place in places)
    if from_hub:
        check_hub_settings()
    addresses = [(each.name, url) for each in config.sources for url in (each.url, *each.mirrors)]
    remote = [each for each in addresses if each[1].partition(":")[0] in SCHEMES]
    for name, url in remote:
        location_of(name, url)
    if from_hub or remote:
        check_connection_settings()


def _obtain(stages: Stages, source: Source, seed: int) -> FinishedUnit:
    return stages.builtin(source, seed) if source.kind == "builtin" else stages.fetch(source)


def _images(
    stages: Stages, sources: Sequence[Source], fetched: dict[str, FinishedUnit], labels: Labels
) -> ImageFolders:
    roots: list[Path] = []
    keys: list[str] = []
    for source in sources:
        if source.kind == "images":  # one after the other: only one archive is there at a time
            unit = stages.images(source, labels)
            roots.append(unit.folder / "files")
            keys.append(unit.key)
        elif source.kind == "builtin":
            roots.append(fetched[source.name].folder / "images")
            keys.append(fetched[source.name].key)
    return ImageFolders(tuple(roots), tuple(keys))


def _labels(sources: Sequence[Source], fetched: dict[str, FinishedUnit]) -> Labels:
    names = {"labels": "file", "builtin": "labels.json"}
    files = tuple(
        RecordFile(
            source=source.name,
            path=fetched[source.name].folder / names[source.kind],
            published=source.num_records,
        )
        for source in sources
        if source.kind in names
    )
    if not files:
        raise ConfigError("data.sources has no label file; add q-instruct-labels")
    return Labels(files, tuple(fetched[file.source].key for file in files))


def _image_size(config: PrepConfig) -> int:
    """What the model's processor will say; it is there only when the images have been decoded."""
    return IMAGE_SIZE if config.model.kind == "tiny" else _CLIP_SIZE


def _reserve(config: PrepConfig, labels: Labels) -> int:
    """Bytes of the cache that model, merged records and index will take."""
    data = data_bytes(config.sources, keep_archives=config.keep_archives)
    label_bytes = sum(file.path.stat().st_size for file in labels.files)
    return max(0, config.cache_bytes - data) + (TIMES_LABELS - 1) * label_bytes


def _heldout(sources: Sequence[Source], fetched: dict[str, FinishedUnit]) -> Path | None:
    return next(
        (fetched[s.name].folder / "heldout.json" for s in sources if s.kind == "builtin"), None
    )


def _accepted(config: PrepConfig, gate: FinishedUnit) -> GateReport:
    """The gate's report, if the policy accepts it."""
    path = gate.folder / REPORT
    found = GateReport.model_validate_json(path.read_bytes())
    for warning in found.warnings():
        _log.warning("%s", warning)
    apply_policy(found, config.missing_images, config.max_missing, path)
    return found


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, text)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}") from error
