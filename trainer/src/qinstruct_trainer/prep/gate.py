"""The gate: nothing that is not proven good reaches a GPU.

`inspect` finds every record that is malformed and every referenced image that is missing or does
not decode, and writes it down; `judge` decides. They are apart so that the finding, which takes
an hour on the full data, is kept when only the policy changes.
"""

import multiprocessing
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from qinstruct_trainer.contract.config import MissingImages
from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data import Record, parse_record, verify_image
from qinstruct_trainer.parent_death import kill_worker_with_pool
from qinstruct_trainer.prep.json_array import read_elements
from qinstruct_trainer.prep.progress import Progress

_FIRST_FAULTS = 3  # of a verdict's message; the report has all
_IMAGES_PER_TASK = 16
_IN_PROCESS = 256  # images for which starting processes takes longer than decoding


class BadRecord(BaseModel):
    """A record that cannot be trained on."""

    model_config = ConfigDict(frozen=True)
    source: str
    index: int
    id: str
    image: str | None
    reason: str


class SourceCount(BaseModel):
    """Records of one label file, beside the published number."""

    model_config = ConfigDict(frozen=True)
    source: str
    records: int
    published: int | None


class GateReport(BaseModel):
    """What the gate found: report.json."""

    model_config = ConfigDict(frozen=True)
    version: Literal[1] = 1
    counts: tuple[SourceCount, ...]
    images: int
    bad: tuple[BadRecord, ...]

    @property
    def num_records(self) -> int:
        """Records of all label files, bad ones included."""
        return sum(count.records for count in self.counts)

    def warnings(self) -> Iterator[str]:
        """Counts that differ from the published ones: no fault, since a mirror may be a part."""
        for count in self.counts:
            if count.published is not None and count.records != count.published:
                yield (
                    f"{count.source} has {count.records:,} records, "
                    f"{count.published:,} were published"
                )


class Labels(BaseModel):
    """One label file, in the order of the merge."""

    model_config = ConfigDict(frozen=True)
    source: str
    path: Path
    published: int | None = None


def inspect(labels: Sequence[Labels], roots: Sequence[Path], progress: Progress) -> GateReport:
    """Parse every record and decode every referenced image.

    Args:
        labels: The label files.
        roots: Folders that an image may be in.
        progress: Told the distinct images looked at.

    Raises:
        DataError: a label file is not a JSON array. A bad record is a finding, not an error.
    """
    malformed: list[BadRecord] = []
    counts: list[SourceCount] = []
    images: dict[str, None] = {}  # a set that keeps the order: same report each time
    for file in labels:
        number = 0
        for index, raw, record in _records(file):
            number += 1
            if isinstance(record, DataError):
                malformed.append(_bad(file, index, raw, str(record)))
            elif record.image is not None:
                images[record.image] = None
        counts.append(SourceCount(source=file.source, records=number, published=file.published))
    faults = _image_faults(list(images), roots, progress)
    pictureless = _with_bad_image(labels, faults) if faults else ()
    order = {file.source: number for number, file in enumerate(labels)}
    bad = sorted((*malformed, *pictureless), key=lambda b: (order[b.source], b.index))
    return GateReport(counts=tuple(counts), images=len(images), bad=tuple(bad))


def judge(report: GateReport, policy: MissingImages, max_missing: int, path: Path) -> None:
    """Let the finding pass, or not.

    Args:
        report: What was found.
        policy: Fail refuses any bad record; Drop leaves up to `max_missing` of them out.
        max_missing: See policy.
        path: Where the report can be read, for the message.

    Raises:
        DataError: the verdict, with the first faults.
    """
    allowed = max_missing if policy == "Drop" else 0
    num_bad = len(report.bad)
    if num_bad == report.num_records:
        raise DataError(f"no record is usable of {num_bad}{_first_faults(report)}; see {path}")
    if num_bad > allowed:
        rule = f"data.maxMissing is {max_missing}" if policy == "Drop" else "none may be"
        raise DataError(
            f"{num_bad} of {report.num_records} records are bad and {rule}"
            f"{_first_faults(report)}; {path} lists all: correct the sources, or leave the "
            f"records out by data.missingImages: Drop and data.maxMissing: {num_bad}"
        )


def find_image(image: str, roots: Sequence[Path]) -> int | None:
    """The number of the first root that has the image."""
    return next((n for n, root in enumerate(roots) if (root / image).is_file()), None)


def _first_faults(report: GateReport) -> str:
    return "".join(f"; {bad.source} {bad.reason}" for bad in report.bad[:_FIRST_FAULTS])


def _records(file: Labels) -> Iterator[tuple[int, object, Record | DataError]]:
    for index, (_, raw) in enumerate(read_elements(file.path, file.source)):
        try:
            yield index, raw, parse_record(raw, index)
        except DataError as error:
            yield index, raw, error


def _bad(file: Labels, index: int, raw: object, reason: str) -> BadRecord:
    fields = raw if isinstance(raw, Mapping) else {}
    image = fields.get("image")
    return BadRecord(
        source=file.source,
        index=index,
        id=_printable(fields.get("id", index)),
        image=None if image is None else _printable(image),
        reason=reason,
    )


def _printable(value: object) -> str:
    """A value of a bad record, cut, without the half characters that JSON can spell."""
    return str(value)[:200].encode("utf-8", "replace").decode()


def _with_bad_image(labels: Iterable[Labels], faults: Mapping[str, str]) -> Iterator[BadRecord]:
    """The records whose image has a fault: a second reading, needed only when there are any."""
    for file in labels:
        for index, raw, record in _records(file):
            fault = None if isinstance(record, DataError) else faults.get(record.image or "")
            if fault is not None:
                yield _bad(file, index, raw, f"record {index}: {fault}")


def _image_faults(
    images: Sequence[str], roots: Sequence[Path], progress: Progress
) -> dict[str, str]:
    """Image to what is wrong with it; good ones are left out."""
    progress.total = len(images)
    faults: dict[str, str] = {}
    for image, fault in zip(images, _examine_all(images, roots), strict=True):
        if fault is not None:
            faults[image] = fault
        progress.add()
    progress.finish()
    return faults


def _examine_all(images: Sequence[str], roots: Sequence[Path]) -> Iterator[str | None]:
    """What is wrong with each image, in processes where there are many.

    Threads do not help: Pillow decodes with the interpreter's lock held (12 MP JPEG: two threads
    are no faster than one). The processes are forks of a server that has imported this module
    once; a fork of this process, beside the lease's heartbeat thread, might lock up.
    """
    folders = tuple(roots)
    tasks = [(image, folders) for image in images]
    num_processes = len(os.sched_getaffinity(0))
    if len(images) <= _IN_PROCESS or num_processes == 1:
        yield from map(_examine, tasks)
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    pool = ProcessPoolExecutor(num_processes, context, initializer=kill_worker_with_pool)
    try:
        yield from pool.map(_examine, tasks, chunksize=_IMAGES_PER_TASK)
    except BrokenProcessPool as error:
        raise DataError(
            "a process that decodes images was killed: the machine has too little memory for "
            f"{num_processes} of them, or an image makes the decoder crash; give prep more memory"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _examine(task: tuple[str, tuple[Path, ...]]) -> str | None:
    image, roots = task
    number = find_image(image, roots)
    if number is None:
        return f"image {image} is in none of the image archives"
    try:
        verify_image(roots[number] / image)
    except DataError as error:
        return str(error)
    return None
