"""Open an index: files are mapped, a record is read when it is asked for.

Opening takes milliseconds whatever the size, and all processes of a node share the pages.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.image_tokens import expand_images
from qinstruct_trainer.data.index.format import IMAGE, RECORD, IndexMeta, read_meta
from qinstruct_trainer.data.label_mask import IGNORE_INDEX, Ids

_PART = 1 << 22  # tokens that are read at a time


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


class Index:
    """A finished index, memory-mapped; `index[i]` reads only what that record needs.

    Attributes:
        meta: The contents of meta.json.
        lengths: [N] int32, tokens of each record, image included.
        modality_lengths: [N] int32, words; positive with an image, negative without.
        images: [N] int32, equal where records have the same image; -1 without one.
    """

    def __init__(self, folder: Path, meta: IndexMeta):
        self._folder = folder
        self._roots = tuple(Path(root) for root in meta.roots)
        self._tokens = _map(folder / "tokens.bin", np.dtype(f"<u{meta.token_bytes}"))
        self._records = _map(folder / "records.bin", RECORD)
        self._spans = _map(folder / "spans.bin", np.dtype("<i4")).reshape(-1, 2)
        self._images = _map(folder / "images.bin", IMAGE)
        self._paths = _map(folder / "paths.bin", np.dtype(np.uint8))
        self.meta = meta
        self.lengths: npt.NDArray[np.int32] = self._records["length"]
        self.modality_lengths: npt.NDArray[np.int32] = self._records["modality_length"]
        self.images: npt.NDArray[np.int32] = self._records["image"]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Map the files.

        Raises:
            DataError: the folder has no complete index of this version, or a file has another
                size than when it was written.
        """
        meta = read_meta(folder)
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
        before = self._records[number - 1] if number else np.zeros((), RECORD)
        ids = self._tokens[before["tokens_end"] : row["tokens_end"]].astype(np.int64)
        labels = np.full(len(ids), IGNORE_INDEX, np.int64)
        for start, end in self._spans[before["spans_end"] : row["spans_end"]].tolist():
            labels[start:end] = ids[start:end]
        meta = self.meta
        encoded = expand_images(
            ids, labels, meta.image_token_id, meta.num_image_tokens, meta.max_length
        )
        return Example(
            encoded.input_ids,
            encoded.labels,
            self._image_path(int(row["image"])),
            encoded.image_runs,
        )

    def learnt_counts(self) -> npt.NDArray[np.int64]:
        """[N] tokens of each record that are learnt; a first one is not, as none is before it."""
        starts, ends = self._spans[:, 0], self._spans[:, 1]
        sums = np.concatenate(([0], np.cumsum(ends - np.maximum(starts, 1), dtype=np.int64)))
        counts: npt.NDArray[np.int64] = np.diff(sums[self._records["spans_end"]], prepend=0)
        return counts

    def first_image_places(self) -> npt.NDArray[np.int64]:
        """[N] where each record's first image begins, in tokens; -1 where it shows none.

        Reads all tokens, in parts.
        """
        found = [
            first + np.flatnonzero(self._tokens[first : first + _PART] == self.meta.image_token_id)
            for first in range(0, len(self._tokens), _PART)
        ]
        ends = self._records["tokens_end"]
        places = np.concatenate([*found, [len(self._tokens)]]).astype(np.int64)
        starts = np.concatenate(([0], ends[:-1])) if len(ends) else ends
        nearest = places[np.searchsorted(places, starts)]
        return np.where(nearest < ends, nearest - starts, -1)

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


def _map(path: Path, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The file as an array; an empty file cannot be mapped."""
    if path.stat().st_size == 0:
        return np.empty(0, dtype)
    return np.memmap(path, dtype, "r")
