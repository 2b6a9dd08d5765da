"""Examples to one batch of tensors: one after another in one row, without padding.

Every example brings at least one image, a black one after normalisation (zeros) if it shows none,
as in the published code: the vision tower and the projector then run on every rank in every step,
which collective communication needs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch

from qinstruct_trainer.data.images import Pixels, load_levels, normalise
from qinstruct_trainer.data.index.reader import Example
from qinstruct_trainer.data.label_mask import IGNORE_INDEX
from qinstruct_trainer.data.pixel_store import PixelStore

Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What one forward pass takes: B examples of T tokens in all, and P >= B images.

    What the host must know of a tensor's contents is here as plain numbers, and what would be
    looked for on the device stands here as places: a pass then never waits for the device.

    Attributes:
        input_ids: [T] int64.
        positions: [T] int64, from 0 in each example.
        lengths: Tokens of each example; their sum is T.
        starts: [B + 1] int32, where each example begins, and T.
        pixel_values: [P, 3, S, S] float32, in the order of the placeholders. P = B unless an
            example shows its image in several turns.
        image_places: [K] int64, the places of all placeholders, in order.
        shown: [2, K] int64, the image and its patch that each placeholder shows. A run of them
            begins with the first patch, and ends early where the sequence was cut.
        learnt: [L] int64, the places whose next token is learnt.
        targets: [L] int64, these next tokens.
    """

    input_ids: torch.Tensor
    positions: torch.Tensor
    lengths: tuple[int, ...]
    starts: torch.Tensor
    pixel_values: torch.Tensor
    image_places: torch.Tensor
    shown: torch.Tensor
    learnt: torch.Tensor
    targets: torch.Tensor

    @property
    def num_tokens(self) -> int:
        """T."""
        return len(self.input_ids)

    def to(self, device: torch.device | str) -> Self:
        """The same batch on a device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Self:
        """The same batch in page-locked memory; torch's loader calls this by its name."""
        return self._map(torch.Tensor.pin_memory)

    def _map(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Self:
        changed: dict[str, Any] = {
            field.name: change(value) if torch.is_tensor(value) else value
            for field in fields(self)
            for value in (getattr(self, field.name),)
        }
        return type(self)(**changed)


def collate(examples: Sequence[Example], image_size: int, store: PixelStore | None = None) -> Batch:
    """Lay the examples one after another, with their images' pixels.

    Args:
        examples: At least one.
        image_size: Edge of the vision tower's square in pixels.
        store: Has the pixels of images, of this size; without it images are decoded.

    Raises:
        DataError: an image cannot be decoded.
    """
    lengths = tuple(len(example.input_ids) for example in examples)
    starts = np.cumsum((0, *lengths))
    places: list[Places] = []
    patches: list[Places] = []
    learnt: list[Places] = []
    targets: list[Places] = []
    for example, first in zip(examples, starts, strict=False):
        # A token is foretold from the one before it, and none is before an example's first.
        following = example.labels[1:]
        is_learnt = np.flatnonzero(following != IGNORE_INDEX)
        learnt.append(first + is_learnt)
        targets.append(following[is_learnt])
        for start, run in example.image_runs or ((0, 0),):
            places.append(first + start + np.arange(run))
            patches.append(np.stack([np.full(run, len(patches)), np.arange(run)]))
    return Batch(
        input_ids=_joined([example.input_ids for example in examples]),
        positions=_joined([np.arange(length) for length in lengths]),
        lengths=lengths,
        starts=torch.from_numpy(starts.astype(np.int32)),
        pixel_values=_pixel_values(examples, image_size, store),
        image_places=_joined(places),
        shown=_joined(patches),
        learnt=_joined(learnt),
        targets=_joined(targets),
    )


def _joined(parts: Sequence[Places]) -> torch.Tensor:
    return torch.from_numpy(np.concatenate(parts, axis=-1, dtype=np.int64))


def _pixel_values(
    examples: Sequence[Example], image_size: int, store: PixelStore | None
) -> torch.Tensor:
    """[P, 3, S, S]: each image is written where it stays; one shown in several turns is copied."""
    counts = [max(1, len(example.image_runs)) for example in examples]
    pixels = np.empty((sum(counts), 3, image_size, image_size), np.float32)
    end = 0
    for example, count in zip(examples, counts, strict=True):
        first, end = end, end + count
        _write_pixels(example, pixels[first], store)
        pixels[first + 1 : end] = pixels[first]
    return torch.from_numpy(pixels)


def _write_pixels(example: Example, pixels: Pixels, store: PixelStore | None) -> None:
    """An image that no placeholder shows has no influence, so that it need not be decoded."""
    if example.image is None or not example.image_runs:
        pixels.fill(0)
        return
    size = pixels.shape[-1]
    levels = load_levels(example.image, size) if store is None else store.levels(example.image)
    normalise(levels, pixels)
