"""Write an index, block by block, in constant memory."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

import numpy as np

from qinstruct_trainer.data.image_tokens import TokenizedRecord
from qinstruct_trainer.data.index.block import (
    Block,
    BlockBuilder,
    Image,
    token_dtype,
    unsupervised,
)
from qinstruct_trainer.data.index.format import (
    FILES,
    IMAGE,
    INDEX_VERSION,
    META,
    IndexMeta,
)
from qinstruct_trainer.storage_errors import DiskFailure, storage_errors, way_out


class IndexWriter:
    """Writes an index in constant memory, but for the table of distinct images.

    Use as a context manager: leaving it without an exception completes the folder.

    Args:
        folder: Empty or new.
        image_token_id: Placeholder of the image; no text may contain it.
        num_image_tokens: Placeholders of one image.
        pad_token_id: For the batches made from the index.
        max_length: What the records were tokenised with.
        roots: Image folders; an image is a folder's number and a path below it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        image_token_id: int,
        num_image_tokens: int,
        pad_token_id: int,
        max_length: int,
        roots: Sequence[Path],
    ):
        self._folder = folder
        self._meta: dict[str, Any] = {
            "version": INDEX_VERSION,
            "image_token_id": image_token_id,
            "num_image_tokens": num_image_tokens,
            "pad_token_id": pad_token_id,
            "max_length": max_length,
            "roots": [str(root) for root in roots],
        }
        self.dtype: Final = token_dtype(image_token_id, pad_token_id)
        self._images: dict[Image, int] = {}
        self._ends = {"tokens": 0, "spans": 0, "paths": 0}
        self._counts = {"num_records": 0, "num_unsupervised": 0, "num_tokens": 0}
        self._files: dict[str, BinaryIO] = {}

    def __enter__(self) -> Self:
        with self._storage_errors():
            self._folder.mkdir(parents=True, exist_ok=True)
            for name in FILES:
                self._files[name] = (self._folder / name).open("wb")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._storage_errors():
            for file in self._files.values():
                file.close()
            if kind is None:
                self._complete()

    def add(self, record: TokenizedRecord, *, words: int, image: Image | None) -> None:
        """Append a record.

        Args:
            record: As `tokenize_record` returned it, with this index's placeholder and lengths.
            words: Of its conversation, for the sampler's groups.
            image: Number of the root, and the path below it; None for a text-only record.

        Raises:
            StorageError: the disk is full.
            ValueError: the record was tokenised with other settings than this index's.
        """
        builder = BlockBuilder(self.dtype)
        builder.add(record, words=words, image=image)
        self.add_block(builder.build())

    def add_block(self, block: Block) -> None:
        """Append records that a `BlockBuilder` with this writer's dtype has packed.

        Raises:
            StorageError: the disk is full.
            ValueError: a record was tokenised with other settings than this index's.
        """
        if not len(block.rows):
            return
        self._check(block)
        rows = block.rows.copy()
        rows["tokens_end"] += self._ends["tokens"]
        rows["spans_end"] += self._ends["spans"]
        numbers = [self._image_number(image) for image in block.images]
        rows["image"] = np.array([*numbers, -1], "<i4")[rows["image"]]  # -1 is the last of them
        self._write("tokens.bin", block.tokens)
        self._write("spans.bin", block.spans)
        self._write("records.bin", rows.tobytes())
        self._ends["tokens"] = int(rows["tokens_end"][-1])
        self._ends["spans"] = int(rows["spans_end"][-1])
        self._counts["num_records"] += len(rows)
        self._counts["num_unsupervised"] += len(unsupervised(block))
        self._counts["num_tokens"] += int(rows["length"].sum(dtype=np.int64))

    def _check(self, block: Block) -> None:
        """Make sure that reading can give the records back: cut again, they stay as they are."""
        ids, rows = np.frombuffer(block.tokens, self.dtype), block.rows
        ends = rows["tokens_end"]
        counts = np.diff(ends, prepend=0)
        if int(ends[-1]) != len(ids) or (counts < 0).any():
            raise ValueError("a block's rows do not fit its tokens")
        meta = self._meta
        longer = meta["num_image_tokens"] - 1
        is_image = ids == meta["image_token_id"]
        before = np.concatenate(([0], np.cumsum(is_image)))
        num_images = before[ends] - before[ends - counts]
        lengths = np.minimum(counts + num_images * longer, meta["max_length"])
        # Where a record's last token begins, its images expanded; it is stored, so within the cut.
        last = np.maximum(ends - 1, 0)
        begins = counts - 1 + longer * (num_images - is_image[last]) if len(ids) else counts - 1
        wrong = (lengths != rows["length"]) | ((counts > 0) & (begins >= meta["max_length"]))
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            raise ValueError(
                f"a record of {counts[first]} stored tokens and {rows['length'][first]} in all "
                f"does not fit an index with {meta}"
            )

    def _image_number(self, image: Image) -> int:
        number = self._images.get(image)
        if number is None:
            root, path = image
            if not 0 <= root < len(self._meta["roots"]):
                raise ValueError(f"image root {root} is not one of {len(self._meta['roots'])}")
            number = self._images[image] = len(self._images)
            encoded = path.encode()
            self._ends["paths"] += len(encoded)
            self._write("paths.bin", encoded)
            self._write("images.bin", np.array([(self._ends["paths"], root)], IMAGE).tobytes())
        return number

    def _write(self, name: str, content: bytes) -> None:
        with self._storage_errors():
            self._files[name].write(content)

    def _complete(self) -> None:
        sizes = {name: (self._folder / name).stat().st_size for name in FILES}
        meta = IndexMeta(**self._meta, **self._counts, token_bytes=self.dtype.itemsize, sizes=sizes)
        (self._folder / META).write_text(meta.model_dump_json(indent=2) + "\n", "utf-8")

    def _storage_errors(self) -> AbstractContextManager[None]:
        return storage_errors(f"the index in {self._folder}", _storage_sentence)


def _storage_sentence(what: str, failure: DiskFailure) -> str:
    out = way_out(Path(failure.path or "."), failure)
    if failure.is_full:
        out = "make room and run again, which goes on from the last finished unit"
    return f"{what} cannot be written: {failure.reason}; {out}"
