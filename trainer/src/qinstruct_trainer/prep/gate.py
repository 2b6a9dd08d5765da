"""The gate: parses every record and examines every image before a GPU is asked for.

`inspect_records` reports malformed records and images that are missing or do not decode;
`apply_policy` accepts the report or not. They are separate so that the report, which takes an
hour on the full data, is kept when only the policy changes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from qinstruct_trainer.contract.config import MissingImages
from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.contract.field_paths import source_field
from qinstruct_trainer.data.records import Record, parse_record, sign_of_a_picture
from qinstruct_trainer.prep.images import Findings
from qinstruct_trainer.prep.json_array import read_elements

_FIRST_FAULTS = 3  # in the message
_MAX_LISTED = 1000  # in the report, with their reasons; of the others it has the numbers
Span = tuple[int, int]
"""Numbers of records that follow each other: the first, and the one after the last."""
Examine = Callable[[Sequence[str]], Findings]
"""Decodes images, each named by its path below an image folder."""


class BadRecord(BaseModel):
    """A record that cannot be trained on."""

    model_config = ConfigDict(frozen=True)
    source: str
    index: int
    id: str
    image: str | None
    reason: str


class SourceCount(BaseModel):
    """Records of one label file, beside the published number.

    Attributes:
        signs: Good records that speak of a picture.
        blind: Those of them that name none, and would be trained on without it.
        first_blind: The first of those, for people.
    """

    model_config = ConfigDict(frozen=True)
    source: str
    records: int
    published: int | None
    signs: int = 0
    blind: int = 0
    first_blind: str | None = None

    @property
    def is_blind(self) -> bool:
        """Whether most that speak of a picture name none: labels in a form that is not read."""
        return 2 * self.blind > self.signs


class GateReport(BaseModel):
    """What the gate found: report.json.

    Of many bad records `bad` has the first, and `unlisted` the numbers of the others by source.
    `destroyed` counts good images of which the published pipeline, and so training, makes white
    or black, because they have 16 bits or floating-point numbers a pixel.
    """

    model_config = ConfigDict(frozen=True)
    version: Literal[1] = 1
    counts: tuple[SourceCount, ...]
    images: int
    bad: tuple[BadRecord, ...]
    unlisted: dict[str, tuple[Span, ...]] = {}
    destroyed: int = 0
    first_destroyed: str | None = None

    @property
    def num_bad(self) -> int:
        """Records that cannot be trained on, listed or not."""
        spans = (span for spans in self.unlisted.values() for span in spans)
        return len(self.bad) + sum(end - start for start, end in spans)

    def bad_numbers(self, source: str) -> Iterator[int]:
        """The numbers of a source's bad records, ascending."""
        yield from (bad.index for bad in self.bad if bad.source == source)
        for start, end in self.unlisted.get(source, ()):
            yield from range(start, end)

    @property
    def num_records(self) -> int:
        """Records of all label files, bad ones included."""
        return sum(count.records for count in self.counts)

    def warnings(self) -> Iterator[str]:
        """What is no fault: a mirror may be a part, and a text may speak of a picture."""
        for count in self.counts:
            if count.published is not None and count.records != count.published:
                yield (
                    f"{count.source} has {count.records:,} records, "
                    f"{count.published:,} were published"
                )
            if count.blind and not count.is_blind:
                yield f"{_blind_sentence(count)}; they are trained on as text"
        if self.destroyed:
            yield (
                f"{self.destroyed:,} images, the first is {self.first_destroyed}, have 16 bits or "
                "floating-point numbers a pixel, which training cuts to 0 to 255 as the published "
                "pipeline does, so that little is seen on them; convert them to 8 bits"
            )


def _blind_sentence(count: SourceCount) -> str:
    return (
        f"{count.source}: {count.blind:,} of {count.signs:,} records that speak of a picture name "
        f"none in `image`, the first is {count.first_blind}"
    )


class RecordFile(BaseModel):
    """A source's JSON array of records."""

    model_config = ConfigDict(frozen=True)
    source: str
    path: Path
    published: int | None = None


def inspect_records(files: Sequence[RecordFile], lines: Path, examine: Examine) -> GateReport:
    """Parse every record and decode every referenced image.

    Args:
        files: In the order of the merge.
        lines: Takes the text of all records, bad ones included, one a line: for `merge`.
        examine: Is given each image once.

    Raises:
        DataError: a label file is not a JSON array. A bad record is a finding, not an error.
    """
    bad = _BadRecords()
    counts: list[SourceCount] = []
    images: dict[str, None] = {}  # a set that keeps the order: same report each time
    with lines.open("w", encoding="utf-8", newline="") as out:
        for file in files:
            number = signs = blind = 0
            first_blind: str | None = None
            for number, (text, raw, record) in enumerate(_records(file), start=1):
                out.write(text + "\n")
                if isinstance(record, DataError):
                    bad.add(file, number - 1, raw, str(record))
                    continue
                sign = sign_of_a_picture(raw, record)
                signs += sign is not None
                if record.image is not None:
                    images[record.image] = None
                elif sign is not None:
                    blind += 1
                    first_blind = first_blind or f"record {number - 1} ({sign})"
            counts.append(
                SourceCount(
                    source=file.source,
                    records=number,
                    published=file.published,
                    signs=signs,
                    blind=blind,
                    first_blind=first_blind,
                )
            )
    found = examine(list(images))
    if found.faults:
        bad = _all_bad(files, found.faults)
    return GateReport(
        counts=tuple(counts),
        images=len(images),
        bad=tuple(bad.listed),
        unlisted={source: tuple(spans) for source, spans in bad.unlisted.items()},
        destroyed=len(found.destroyed),
        first_destroyed=next(iter(found.destroyed), None),
    )


class _BadRecords:
    """Collects bad records, in order; of those beyond the first only where they are."""

    def __init__(self) -> None:
        self.listed: list[BadRecord] = []
        self.unlisted: dict[str, list[Span]] = {}

    def add(self, file: RecordFile, index: int, raw: object, reason: str) -> None:
        if len(self.listed) < _MAX_LISTED:
            self.listed.append(_bad(file, index, raw, reason))
            return
        spans = self.unlisted.setdefault(file.source, [])
        if spans and spans[-1][1] == index:
            spans[-1] = (spans[-1][0], index + 1)
        else:
            spans.append((index, index + 1))


def _all_bad(files: Sequence[RecordFile], faults: Mapping[str, str]) -> _BadRecords:
    """A second reading, in which both kinds of fault come in the order of the files."""
    bad = _BadRecords()
    for file in files:
        for index, (_, raw, record) in enumerate(_records(file)):
            if isinstance(record, DataError):
                bad.add(file, index, raw, str(record))
            elif (fault := faults.get(record.image or "")) is not None:
                bad.add(file, index, raw, f"record {index}: {fault}")
    return bad


def apply_policy(report: GateReport, policy: MissingImages, max_missing: int, path: Path) -> None:
    """Accept the report or raise.

    Args:
        report: What was found.
        policy: Fail refuses any bad record; Drop leaves up to `max_missing` of them out.
        max_missing: See policy.
        path: Where the report can be read, for the message.

    Raises:
        DataError: more records are bad than the policy allows, with the first faults; a source
            has none, or most of its records that speak of a picture name none, which no policy
            allows.
    """
    for count in report.counts:
        if count.records == 0:
            raise DataError(
                f"{count.source} has no records; set {source_field(count.source)}.url to a good "
                "copy"
            )
        if count.is_blind:
            raise DataError(
                f"{_blind_sentence(count)}; write the path of the one picture as image, or correct "
                f"{source_field(count.source)}.url"
            )
    allowed = max_missing if policy == "Drop" else 0
    num_bad = report.num_bad
    if num_bad == report.num_records:
        raise DataError(f"no record is usable of {num_bad}{_first_faults(report)}; see {path}")
    if num_bad > allowed:
        listed = "all"
        if num_bad > len(report.bad):
            listed = f"the first {len(report.bad)} and the numbers of the others"
        rule = f"data.maxMissing is {max_missing}" if policy == "Drop" else "none may be"
        raise DataError(
            f"{num_bad} of {report.num_records} records are bad and {rule}"
            f"{_first_faults(report)}; {path} lists {listed}: correct the sources, or leave the "
            f"records out by data.missingImages: Drop and data.maxMissing: {num_bad}"
        )


def _first_faults(report: GateReport) -> str:
    return "".join(f"; {bad.source} {bad.reason}" for bad in report.bad[:_FIRST_FAULTS])


def _records(file: RecordFile) -> Iterator[tuple[str, object, Record | DataError]]:
    """Of every element: its text, its value, and the record or what is wrong with it."""
    for index, (text, raw) in enumerate(read_elements(file.path, file.source)):
        try:
            yield text, raw, parse_record(raw, index)
        except DataError as error:
            yield text, raw, error


def _bad(file: RecordFile, index: int, raw: object, reason: str) -> BadRecord:
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
