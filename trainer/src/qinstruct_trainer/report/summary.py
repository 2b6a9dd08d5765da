"""Counts of a dataset, and a random sample of it, in one pass and bounded memory."""

import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Generic, TypeVar

from qinstruct_trainer.contract.summary import SummaryTable
from qinstruct_trainer.data.images import Picture
from qinstruct_trainer.data.records import Record
from qinstruct_trainer.report.kinds import question_kind
from qinstruct_trainer.report.read import Dataset, Row

T = TypeVar("T")

_MAX_KINDS: Final = 20  # rows of a table of values that the records themselves have
_TYPE_KEYS: Final = ("qtype", "type")
_MAX_DISTINCT: Final = 1000
_BINS: Final = (0, 5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560)
_NUMBERS: Final = re.compile(r"\d+")


@dataclass
class Summary:
    """What was counted.

    Attributes:
        sources: Good records by label file.
        with_image: Those with an image.
        kinds: Kinds of their first questions.
        types: Values of the records' own `qtype` and `type`.
        words: Lengths of records in words.
        turns: Questions and answers of a record.
        faults: What was wrong with the bad ones, without the numbers in it.
        sample: Random good records.
        images: Random distinct-as-drawn images, to be looked at.
    """

    sources: Counter[str] = field(default_factory=Counter)
    with_image: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    words: Counter[int] = field(default_factory=Counter)
    turns: Counter[int] = field(default_factory=Counter)
    faults: Counter[tuple[str, str]] = field(default_factory=Counter)
    sample: list[Row] = field(default_factory=list)
    images: list[str] = field(default_factory=list)


def summarize(dataset: Dataset, *, seed: int, samples: int, num_images: int) -> Summary:
    """Read all records once.

    Args:
        dataset: What to read.
        seed: Of the sample: the same one draws the same records.
        samples: Records to draw.
        num_images: Images to draw.

    Raises:
        DataError: the file is damaged. A bad record is counted.
    """
    found = Summary()
    drawn = Reservoir[Row](samples, random.Random(seed))
    images = Reservoir[str](num_images, random.Random(seed))
    for row in dataset.rows() if dataset.rows else ():
        if not isinstance(row.record, Record):
            _count_fault(found, row.source, str(row.record))
            continue
        drawn.offer(row)
        _count(found, row, row.record)
        if row.record.image is not None:
            images.offer(row.record.image)
    found.sample = drawn.items
    found.images = list(dict.fromkeys(images.items))
    if dataset.gate is not None:
        for bad in dataset.gate.bad:
            _count_fault(found, bad.source, bad.reason)
        for source, spans in dataset.gate.unlisted.items():
            found.faults[source, "not listed"] += sum(end - start for start, end in spans)
    return found


class Reservoir(Generic[T]):
    """A uniform sample of a stream (Vitter's algorithm R)."""

    def __init__(self, size: int, generator: random.Random):
        self._size = size
        self._random = generator
        self._seen = 0
        self.items: list[T] = []

    def offer(self, item: T) -> None:
        """One more of the stream."""
        self._seen += 1
        if len(self.items) < self._size:
            self.items.append(item)
        elif (place := self._random.randrange(self._seen)) < self._size:
            self.items[place] = item


def _count(found: Summary, row: Row, record: Record) -> None:
    found.sources[row.source] += 1
    found.with_image[row.source] += record.image is not None
    found.kinds[question_kind(record)] += 1
    found.words[record.num_words] += 1
    found.turns[len(record.turns)] += 1
    if isinstance(row.value, Mapping):
        for key in _TYPE_KEYS:
            value = row.value.get(key)
            if isinstance(value, str) and len(found.types) < _MAX_DISTINCT:
                found.types[f"{key}: {value[:80]}"] += 1


def _count_fault(found: Summary, source: str, reason: str) -> None:
    kind = _NUMBERS.sub("#", reason.partition(": ")[2] or reason)[:200]
    if len(found.faults) < _MAX_DISTINCT:
        found.faults[source, kind] += 1


def tables_of(
    found: Summary, dataset: Dataset, pictures: Mapping[str, Picture | str]
) -> Iterator[SummaryTable]:
    """The counts as tables of text.

    Args:
        found: The counts.
        dataset: What was read.
        pictures: By image: what it is, or why it is none.
    """
    published = (
        {count.source: count.published for count in dataset.gate.counts} if dataset.gate else {}
    )
    if found.sources:
        rows = [
            (source, f"{number:,}", f"{found.with_image[source]:,}", _number(published.get(source)))
            for source, number in found.sources.items()
        ]
        yield _table("Records", ("source", "records", "with an image", "published"), rows)
        yield _table("First questions", ("kind", "records"), _most(found.kinds))
    if found.types:
        yield _table("Their own types", ("type", "records"), _most(found.types))
    if found.words or dataset.index is not None:
        yield _table(
            "Lengths", ("", "shortest", "median", "longest", "all"), list(_lengths(found, dataset))
        )
    if found.faults:
        faults = [(s, reason, f"{n:,}") for (s, reason), n in found.faults.most_common(_MAX_KINDS)]
        yield _table("Left out", ("source", "why", "records"), faults)
    if pictures:
        yield _table(
            f"Images ({len(pictures):,} looked at)", ("what", "images"), _most(_kinds_of(pictures))
        )


def bins_of(lengths: Mapping[int, int]) -> list[tuple[str, int]]:
    """A histogram over lengths that grow by doubling: name and count of each bin."""
    counts = [0] * len(_BINS)
    for length, number in lengths.items():
        counts[max(i for i, low in enumerate(_BINS) if low <= max(length, 0))] += number
    names = [f"{low}-{high - 1}" for low, high in pairwise(_BINS)]
    return list(zip([*names, f"{_BINS[-1]}+"], counts, strict=True))


def token_lengths(dataset: Dataset) -> Counter[int]:
    """Lengths of the index's records in tokens, image included."""
    return Counter() if dataset.index is None else Counter(dataset.index.lengths.tolist())


def _lengths(found: Summary, dataset: Dataset) -> Iterator[tuple[str, ...]]:
    for name, lengths in (
        ("words of a record", found.words),
        ("turns of a record", found.turns),
        ("tokens of a record, image included", token_lengths(dataset)),
    ):
        if lengths:
            total = sum(length * number for length, number in lengths.items())
            row = (min(lengths), _median(lengths), max(lengths), total)
            yield (name, *(f"{value:,}" for value in row))


def _median(lengths: Mapping[int, int]) -> int:
    half, below = sum(lengths.values()) / 2, 0
    for length in sorted(lengths):
        below += lengths[length]
        if below >= half:
            return length
    return 0


def _kinds_of(pictures: Mapping[str, Picture | str]) -> Counter[str]:
    kinds: Counter[str] = Counter()
    for picture in pictures.values():
        if isinstance(picture, str):
            kinds[picture] += 1
        else:
            edge = 2 ** max(picture.width, picture.height, 1).bit_length()
            kinds[f"{picture.format}, longer edge below {edge:,} pixels"] += 1
    return kinds


def _most(counts: Counter[str]) -> list[tuple[str, str]]:
    rows = [(name, f"{number:,}") for name, number in counts.most_common(_MAX_KINDS)]
    rest = sum(counts.values()) - sum(number for _, number in counts.most_common(_MAX_KINDS))
    return [*rows, ("others", f"{rest:,}")] if rest else rows


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> SummaryTable:
    return SummaryTable(title=title, columns=columns, rows=tuple(rows))
