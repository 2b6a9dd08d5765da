"""Merged records tokenised for the index: blocks of them, in as many processes as there are CPUs.

Neither torch nor transformers is imported here: a process starts with the tokenizer alone, which
it reads from the checkpoint itself.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path

import numpy as np

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.conversation import render
from qinstruct_trainer.data.encode import tokenize_record
from qinstruct_trainer.data.image_tokens import Span, TokenizedRecord, cut_record
from qinstruct_trainer.data.index.block import Block, BlockBuilder, token_dtype, unsupervised
from qinstruct_trainer.data.label_mask import IGNORE_INDEX
from qinstruct_trainer.data.records import Record, parse_record
from qinstruct_trainer.data.text_encoder import TextEncoder, open_text_encoder
from qinstruct_trainer.data.word_encoder import UnusualTextError, word_encoder
from qinstruct_trainer.prep.image_finder import ImageFinder
from qinstruct_trainer.prep.processes import map_in_processes

_PART_BYTES = 1 << 20  # of lines a task has; some 900 records
_PARTS_IN_PROCESS = 4  # so few are done before other processes have started
_MAX_PROCESSES = 8  # of some 120 MB each
_KILLED = (
    "a process that tokenises records was killed: the machine has too little memory; give prep more"
)


@dataclass(frozen=True)
class Encoding:
    """What decides the tokens of a record.

    Attributes:
        model: Starting checkpoint, for its tokenizer.
        num_image_tokens: Patches of its vision tower.
        max_length: Longest sequence in tokens, image included.
        roots: Folders that an image may be in; the first that has it is taken.
    """

    model: Path
    num_image_tokens: int
    max_length: int
    roots: tuple[Path, ...]


@dataclass(frozen=True)
class Part:
    """Whole lines of the file of merged records.

    Attributes:
        first: Number of the first record.
        start: Of the first line, in bytes.
        size: Bytes.
    """

    first: int
    start: int
    size: int


@dataclass(frozen=True)
class TokenizedPart:
    """A part, done.

    Attributes:
        block: Its records.
        unsupervised: Ids of those that have nothing to learn.
    """

    block: Block
    unsupervised: tuple[str, ...]


def tokenize_all(
    records: Path, encoding: Encoding, num_processes: int | None = None
) -> Iterator[TokenizedPart]:
    """All records of the merged file, in its order.

    Args:
        records: JSON lines, as `merge` wrote them.
        encoding: What decides their tokens; the number of processes does not.
        num_processes: As many as this process has CPUs, but at most 8, if it is not given.

    Raises:
        DataError: a record cannot be encoded, an image is not there any more, or a process was
            killed.
    """
    num_processes = num_processes or min(len(os.sched_getaffinity(0)), _MAX_PROCESSES)
    start = partial(part_tokenizer, records, encoding)
    parts = _parts(records)
    first = list(islice(parts, _PARTS_IN_PROCESS + 1))
    every = chain(first, parts)
    if len(first) <= _PARTS_IN_PROCESS or num_processes == 1:
        yield from map(start(), every)
    else:
        yield from map_in_processes(start, every, num_processes, _KILLED)


def part_tokenizer(records: Path, encoding: Encoding) -> Callable[[Part], TokenizedPart]:
    """What tokenises parts of a file; keeps what they have in common."""
    return _PartTokenizer(records, encoding, open_text_encoder(encoding.model)).tokenize


def _parts(records: Path) -> Iterator[Part]:
    first = start = 0
    with records.open("rb") as file:
        while lines := file.readlines(_PART_BYTES):
            size = sum(map(len, lines))
            yield Part(first, start, size)
            first += len(lines)
            start += size


class _PartTokenizer:
    def __init__(self, records: Path, encoding: Encoding, encoder: TextEncoder):
        self._records = records
        self._encoding = encoding
        self._encoder = encoder
        self._dtype = token_dtype(encoder.ids.image, encoder.ids.pad)
        self._words = word_encoder(encoder, self._dtype)
        self._finder = ImageFinder(encoding.roots)

    def tokenize(self, part: Part) -> TokenizedPart:
        """Tokens of all records of a part."""
        with self._records.open("rb") as file:
            file.seek(part.start)
            content = file.read(part.size)
        builder = BlockBuilder(self._dtype)
        ids = []
        for index, line in enumerate(content.removesuffix(b"\n").split(b"\n"), start=part.first):
            record = parse_record(self._decoded(line, index), index)
            ids.append(record.id)
            self._add(record, builder)
        block = builder.build()
        return TokenizedPart(block, tuple(ids[number] for number in unsupervised(block)))

    def _decoded(self, line: bytes, index: int) -> object:
        try:
            return json.loads(line.decode())
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{self._records} is damaged in line {index + 1}; remove its folder and run again"
            ) from error

    def _add(self, record: Record, builder: BlockBuilder) -> None:
        image = None if record.image is None else (self._root_of(record.image), record.image)
        words = record.num_words
        if self._words is not None:
            with suppress(UnusualTextError):
                packed, spans, num_images = self._words.encode(render(record), image is not None)
                num_tokens = len(packed) // self._dtype.itemsize
                num_tokens += num_images * (self._encoding.num_image_tokens - 1)
                if num_tokens <= self._encoding.max_length:
                    builder.add_packed(packed, spans, num_tokens, words=words, image=image)
                else:
                    builder.add(self._cut(packed, spans), words=words, image=image)
                return
        settings = (self._encoder, self._encoding.num_image_tokens)
        tokens = tokenize_record(record, *settings, max_length=self._encoding.max_length)
        builder.add(tokens, words=words, image=image)

    def _cut(self, packed: bytes, spans: Sequence[Span]) -> TokenizedRecord:
        ids = np.frombuffer(packed, self._dtype).astype(np.int64)
        labels = np.full(len(ids), IGNORE_INDEX, np.int64)
        for start, end in spans:
            labels[start:end] = ids[start:end]
        settings = (self._encoder.ids.image, self._encoding.num_image_tokens)
        return cut_record(ids, labels, *settings, self._encoding.max_length)

    def _root_of(self, image: str) -> int:
        number = self._finder.find(image)
        if number is None:
            raise DataError(
                f"image {image} vanished after the gate; delete the cache and run again"
            )
        return number
