"""Records that follow each other, packed as an index stores them: what processes hand over.

A block's numbers count from its own beginning. The writer adds what came before, so that the
files are the same whatever the blocks were.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qinstruct_trainer.data.image_tokens import Span, TokenizedRecord
from qinstruct_trainer.data.index.format import RECORD
from qinstruct_trainer.data.label_mask import IGNORE_INDEX, Ids

Image = tuple[int, str]
"""Number of a root, and the path below it."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Some records.

    Attributes:
        tokens: Their ids, of the index's dtype, one record after the other.
        spans: [start, end) of what is learnt, int32, in tokens of the record.
        rows: [N] RECORD, with ends and image numbers of this block.
        images: The distinct images, in the order in which they appear.
    """

    tokens: bytes
    spans: bytes
    rows: npt.NDArray[Any]
    images: tuple[Image, ...]


class BlockBuilder:
    """Collects records into a block."""

    def __init__(self, dtype: np.dtype[Any]):
        """`dtype`: of the index's tokens, see `token_dtype`."""
        self._dtype = dtype
        self._tokens: list[bytes] = []
        self._spans: list[int] = []
        self._rows: list[tuple[int, int, int, int, int]] = []
        self._images: dict[Image, int] = {}
        self._num_tokens = 0

    def add(self, record: TokenizedRecord, *, words: int, image: Image | None) -> None:
        """Append a record; see `IndexWriter.add`.

        Raises:
            ValueError: an id does not fit into the dtype.
        """
        ids = record.input_ids
        if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) <= np.iinfo(self._dtype).max:
            raise ValueError(f"a record with such ids does not fit into {self._dtype}")
        tokens = ids.astype(self._dtype).tobytes()
        spans = _spans(record.labels)
        self.add_packed(tokens, spans, record.num_tokens, words=words, image=image)

    def add_packed(
        self,
        tokens: bytes,
        spans: Sequence[Span],
        num_tokens: int,
        *,
        words: int,
        image: Image | None,
    ) -> None:
        """Append a record whose tokens are of the index's dtype already."""
        number = -1 if image is None else self._images.setdefault(image, len(self._images))
        self._tokens.append(tokens)
        for span in spans:
            self._spans += span
        self._num_tokens += len(tokens) // self._dtype.itemsize
        signed = -words if image is None else words
        row = (self._num_tokens, len(self._spans) // 2, number, num_tokens, signed)
        self._rows.append(row)

    def build(self) -> Block:
        """The block of all that was added."""
        return Block(
            b"".join(self._tokens),
            np.array(self._spans, "<i4").tobytes(),
            np.array(self._rows, RECORD),
            tuple(self._images),
        )


def unsupervised(block: Block) -> list[int]:
    """The numbers of the records that have nothing to learn."""
    counts = np.diff(block.rows["spans_end"], prepend=0)
    return np.flatnonzero(counts == 0).tolist()


def token_dtype(image_token_id: int, pad_token_id: int) -> np.dtype[Any]:
    """Of tokens.bin. The placeholder follows the vocabulary, or is at its end: the largest id."""
    return np.dtype("<u2" if max(image_token_id, pad_token_id) < 2**16 else "<u4")


def _spans(labels: Ids) -> list[Span]:
    """Where labels are learnt, as half-open intervals."""
    learnt = np.concatenate(([False], labels != IGNORE_INDEX, [False]))
    edges = np.flatnonzero(learnt[1:] != learnt[:-1]).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))
