"""Write an index, record by record, in constant memory."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
import numpy.typing as npt

from qinstruct_trainer.data.image_tokens import TokenizedRecord, cut_record
from qinstruct_trainer.data.index.format import (
    FILES,
    IMAGE,
    INDEX_VERSION,
    META,
    RECORD,
    IndexMeta,
)
from qinstruct_trainer.data.label_mask import IGNORE_INDEX, Ids
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
        # The placeholder follows the vocabulary or is part of its end; so it is the largest id.
        self._dtype = np.dtype("<u2" if max(image_token_id, pad_token_id) < 2**16 else "<u4")
        self._images: dict[tuple[int, str], int] = {}
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

    def add(self, record: TokenizedRecord, *, words: int, image: tuple[int, str] | None) -> None:
        """Append a record.

        Args:
            record: As `tokenize_record` returned it, with this index's placeholder and lengths.
            words: Of its conversation, for the sampler's groups.
            image: Number of the root, and the path below it; None for a text-only record.

        Raises:
            StorageError: the disk is full.
            ValueError: the record was tokenised with other settings than this index's.
        """
        self._check(record)
        ids, spans = record.input_ids, _spans(record.labels)
        self._ends["tokens"] += len(ids)
        self._ends["spans"] += len(spans)
        number = -1 if image is None else self._image_number(image)
        row = (
            self._ends["tokens"],
            self._ends["spans"],
            number,
            record.num_tokens,
            -words if image is None else words,
        )
        self._write("tokens.bin", ids.astype(self._dtype))
        self._write("spans.bin", spans)
        self._write("records.bin", np.array([row], RECORD))
        self._counts["num_records"] += 1
        self._counts["num_unsupervised"] += len(spans) == 0
        self._counts["num_tokens"] += record.num_tokens

    def _check(self, record: TokenizedRecord) -> None:
        """Make sure that reading can give the record back."""
        ids, meta = record.input_ids, self._meta
        settings = (meta["image_token_id"], meta["num_image_tokens"], meta["max_length"])
        again = cut_record(ids, record.labels, *settings)
        if (len(again.input_ids), again.num_tokens) != (len(ids), record.num_tokens) or (
            ids.size and not 0 <= int(ids.min()) <= int(ids.max()) <= self._largest_id
        ):
            raise ValueError(
                f"a record of {len(ids)} stored tokens and {record.num_tokens} in all does not "
                f"fit an index with {meta}"
            )

    @property
    def _largest_id(self) -> int:
        return int(np.iinfo(self._dtype).max)

    def _image_number(self, image: tuple[int, str]) -> int:
        number = self._images.get(image)
        if number is None:
            root, path = image
            if not 0 <= root < len(self._meta["roots"]):
                raise ValueError(f"image root {root} is not one of {len(self._meta['roots'])}")
            number = self._images[image] = len(self._images)
            encoded = path.encode()
            self._ends["paths"] += len(encoded)
            self._write("paths.bin", np.frombuffer(encoded, np.uint8))
            self._write("images.bin", np.array([(self._ends["paths"], root)], IMAGE))
        return number

    def _write(self, name: str, values: npt.NDArray[Any]) -> None:
        with self._storage_errors():
            self._files[name].write(values.tobytes())

    def _complete(self) -> None:
        sizes = {name: (self._folder / name).stat().st_size for name in FILES}
        meta = IndexMeta(
            **self._meta, **self._counts, token_bytes=self._dtype.itemsize, sizes=sizes
        )
        (self._folder / META).write_text(meta.model_dump_json(indent=2) + "\n", "utf-8")

    def _storage_errors(self) -> AbstractContextManager[None]:
        return storage_errors(f"the index in {self._folder}", _storage_sentence)


def _storage_sentence(what: str, failure: DiskFailure) -> str:
    out = way_out(Path(failure.path or "."), failure)
    if failure.is_full:
        out = "make room and run again, which goes on from the last finished unit"
    return f"{what} cannot be written: {failure.reason}; {out}"


def _spans(labels: Ids) -> npt.NDArray[np.int32]:
    """[S, 2]: where labels are learnt, as half-open intervals."""
    learnt = np.concatenate(([False], labels != IGNORE_INDEX, [False]))
    return np.flatnonzero(learnt[1:] != learnt[:-1]).astype("<i4").reshape(-1, 2)
