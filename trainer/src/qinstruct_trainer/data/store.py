"""Encoded records in memory-mapped files: written once by prep, opened by every rank at once.

    meta.json       version, counts, sizes; written last, so a folder with it is complete
    tokens.bin      ids of all records, an image as one placeholder; uint16 or uint32
    records.bin     per record: ends of its tokens, spans, and image number, lengths (see below)
    spans.bin       [start, end) of what is learnt, in stored tokens of the record
    images.bin      per distinct image: folder number and end of its path
    paths.bin       relative paths, UTF-8, one after the other

Opening maps files and reads meta.json: milliseconds, whatever the size. All processes of a node
share the pages. All numbers are little-endian.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.encode import IGNORE_INDEX, EncodedRecord, Ids, expand_images
from qinstruct_trainer.storage_errors import DiskFailure, storage_errors

INDEX_VERSION = 1
_META = "meta.json"
_RECORD = np.dtype(
    [
        ("tokens_end", "<i8"),  # of this record's tokens in tokens.bin; the one before is the start
        ("spans_end", "<i8"),
        ("image", "<i4"),  # number in images.bin, -1: text-only
        ("length", "<i4"),  # tokens with the image expanded
        ("modality_length", "<i4"),  # words, positive with an image, negative without
    ]
)
_IMAGE = np.dtype([("path_end", "<i8"), ("root", "<i4")])
_FILES = ("tokens.bin", "records.bin", "spans.bin", "images.bin", "paths.bin")


class IndexMeta(BaseModel):
    """meta.json: what is needed to read the files, and to know that they are whole."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int
    image_token_id: int = Field(ge=0)
    num_image_tokens: int = Field(ge=1)
    pad_token_id: int = Field(ge=0)
    max_length: int = Field(ge=1)
    roots: tuple[str, ...]
    num_records: int = Field(ge=0)
    num_unsupervised: int = Field(ge=0, description="Records without a single learnt token.")
    num_tokens: int = Field(ge=0, description="Of all records, images expanded.")
    token_bytes: int = Field(ge=2, le=4)
    sizes: dict[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One record as training takes it.

    Attributes:
        input_ids: [T] int64.
        labels: [T] int64, -100 where nothing is learnt.
        image: Its file; None for a text-only record.
        image_runs: (start, length) of every run of placeholders.
    """

    input_ids: Ids
    labels: Ids
    image: Path | None
    image_runs: tuple[tuple[int, int], ...]


class IndexWriter:
    """Writes an index in constant memory, but for the table of distinct images.

    Use as a context manager: leaving it without an exception completes the folder.

    Args:
        folder: Empty or new.
        image_token_id: Placeholder of the image; no text may contain it.
        num_image_tokens: Placeholders of one image.
        pad_token_id: For the batches made from the index.
        max_length: What the records were encoded with.
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
            for name in _FILES:
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

    def add(self, encoded: EncodedRecord, *, words: int, image: tuple[int, str] | None) -> None:
        """Append a record.

        Args:
            encoded: As `encode_record` returned it, with this index's placeholder and lengths.
            words: Of its conversation, for the sampler's groups.
            image: Number of the root, and the path below it; None for a text-only record.

        Raises:
            StorageError: the disk is full.
            ValueError: the record was encoded with other settings than this index's.
        """
        ids, labels = self._collapse(encoded)
        spans = _spans(labels)
        self._ends["tokens"] += len(ids)
        self._ends["spans"] += len(spans)
        number = -1 if image is None else self._image_number(image)
        row = (
            self._ends["tokens"],
            self._ends["spans"],
            number,
            len(encoded.input_ids),
            -words if image is None else words,
        )
        self._write("tokens.bin", ids.astype(self._dtype))
        self._write("spans.bin", spans)
        self._write("records.bin", np.array([row], _RECORD))
        self._counts["num_records"] += 1
        self._counts["num_unsupervised"] += len(spans) == 0
        self._counts["num_tokens"] += len(encoded.input_ids)

    def _collapse(self, encoded: EncodedRecord) -> tuple[Ids, Ids]:
        """Every run of placeholders to one, after making sure that reading expands it again."""
        kept = np.ones(len(encoded.input_ids), np.bool_)
        for start, length in encoded.image_runs:
            kept[start + 1 : start + length] = False
        ids, labels = encoded.input_ids[kept], encoded.labels[kept]
        places = np.flatnonzero(ids == self._meta["image_token_id"]).tolist()
        again = expand_images(
            ids, labels, places, self._meta["num_image_tokens"], self._meta["max_length"]
        )
        if (
            again.image_runs != encoded.image_runs
            or len(again.input_ids) != len(encoded.input_ids)
            or (ids.size and not 0 <= int(ids.min()) <= int(ids.max()) <= self._largest_id)
        ):
            raise ValueError(
                f"a record of {len(encoded.input_ids)} tokens with image runs "
                f"{encoded.image_runs} does not fit an index with {self._meta}"
            )
        return ids, labels

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
            self._write("images.bin", np.array([(self._ends["paths"], root)], _IMAGE))
        return number

    def _write(self, name: str, values: npt.NDArray[Any]) -> None:
        with self._storage_errors():
            self._files[name].write(values.tobytes())

    def _complete(self) -> None:
        sizes = {name: (self._folder / name).stat().st_size for name in _FILES}
        meta = IndexMeta(
            **self._meta, **self._counts, token_bytes=self._dtype.itemsize, sizes=sizes
        )
        (self._folder / _META).write_text(meta.model_dump_json(indent=2) + "\n", "utf-8")

    def _storage_errors(self) -> AbstractContextManager[None]:
        return storage_errors(f"the index in {self._folder}", _storage_sentence)


class Index:
    """A finished index, memory-mapped; `index[i]` reads only what that record needs.

    Attributes:
        meta: The contents of meta.json.
        lengths: [N] int32, tokens of each record, image included.
        modality_lengths: [N] int32, words; positive with an image, negative without.
    """

    def __init__(self, folder: Path, meta: IndexMeta):
        self._folder = folder
        self._roots = tuple(Path(root) for root in meta.roots)
        self._tokens = _map(folder / "tokens.bin", np.dtype(f"<u{meta.token_bytes}"))
        self._records = _map(folder / "records.bin", _RECORD)
        self._spans = _map(folder / "spans.bin", np.dtype("<i4")).reshape(-1, 2)
        self._images = _map(folder / "images.bin", _IMAGE)
        self._paths = _map(folder / "paths.bin", np.dtype(np.uint8))
        self.meta = meta
        self.lengths: npt.NDArray[np.int32] = self._records["length"]
        self.modality_lengths: npt.NDArray[np.int32] = self._records["modality_length"]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Map the files.

        Raises:
            DataError: the folder has no complete index of this version, or a file has another
                size than when it was written.
        """
        meta = _read_meta(folder)
        for name, size in meta.sizes.items():
            path = folder / name
            found = path.stat().st_size if path.is_file() else None
            if found != size:
                raise DataError(
                    f"{path} is {'missing' if found is None else f'{found:,} bytes'}, not "
                    f"{size:,} bytes; the index is damaged: remove its folder and run prep again"
                )
        return cls(folder, meta)

    def __len__(self) -> int:
        return self.meta.num_records

    def __getitem__(self, number: int) -> Example:
        """The record of that number.

        Raises:
            IndexError: there is none.
        """
        if not 0 <= number < len(self):
            raise IndexError(f"record {number} of {len(self)}")
        row = self._records[number]
        before = self._records[number - 1] if number else np.zeros((), _RECORD)
        ids = self._tokens[before["tokens_end"] : row["tokens_end"]].astype(np.int64)
        labels = np.full(len(ids), IGNORE_INDEX, np.int64)
        for start, end in self._spans[before["spans_end"] : row["spans_end"]].tolist():
            labels[start:end] = ids[start:end]
        meta = self.meta
        places = np.flatnonzero(ids == meta.image_token_id).tolist()
        encoded = expand_images(ids, labels, places, meta.num_image_tokens, meta.max_length)
        return Example(
            encoded.input_ids,
            encoded.labels,
            self._image_path(int(row["image"])),
            encoded.image_runs,
        )

    def _image_path(self, number: int) -> Path | None:
        if number < 0:
            return None
        row = self._images[number]
        start = self._images[number - 1]["path_end"] if number else 0
        path = self._paths[start : row["path_end"]].tobytes().decode()
        return self._roots[int(row["root"])] / path

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its folder: a process that gets it maps the files for itself."""
        return (type(self).open, (self._folder,))


def _storage_sentence(what: str, failure: DiskFailure) -> str:
    return (
        f"{what} cannot be written: {failure.reason}; make room and run again, which goes on "
        "from the last finished unit"
    )


def _spans(labels: Ids) -> npt.NDArray[np.int32]:
    """[S, 2]: where labels are learnt, as half-open intervals."""
    learnt = np.concatenate(([False], labels != IGNORE_INDEX, [False]))
    return np.flatnonzero(learnt[1:] != learnt[:-1]).astype("<i4").reshape(-1, 2)


def _map(path: Path, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The file as an array; an empty file cannot be mapped."""
    if path.stat().st_size == 0:
        return np.empty(0, dtype)
    return np.memmap(path, dtype, "r")


def _read_meta(folder: Path) -> IndexMeta:
    path = folder / _META
    try:
        meta = IndexMeta.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise DataError(f"{folder} has no complete index ({_META} is missing); run prep") from error
    except (OSError, ValidationError) as error:
        raise DataError(f"{path} is damaged; remove its folder and run prep again") from error
    expected_records = meta.num_records * _RECORD.itemsize
    if meta.version != INDEX_VERSION or set(meta.sizes) != set(_FILES):
        raise DataError(
            f"{path} is of version {meta.version}, this trainer reads {INDEX_VERSION}; "
            "run prep again"
        )
    if meta.sizes["records.bin"] != expected_records:
        raise DataError(f"{path} contradicts itself; remove its folder and run prep again")
    return meta
