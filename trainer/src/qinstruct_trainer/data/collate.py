"""Examples to one padded batch of tensors.

Every example brings at least one image, a black one after normalisation (zeros) if it shows none,
as in the published code: the vision tower and the projector then run on every rank in every step,
which collective communication needs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import torch

from qinstruct_trainer.data.images import Pixels, load_pixels
from qinstruct_trainer.data.index.reader import Example
from qinstruct_trainer.data.label_mask import IGNORE_INDEX


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What one forward pass takes. B examples, padded on the right to T tokens, P >= B images.

    Attributes:
        input_ids: [B, T] int64.
        labels: [B, T] int64, -100 where nothing is learnt.
        attention_mask: [B, T] int64, 1 on tokens, 0 on padding.
        image_mask: [B, T] bool, True on the placeholders of an image.
        pixel_values: [P, 3, S, S] float32, in the order of the placeholders, row by row. P = B
            unless an example shows its image in several turns.
        image_lengths: [P] int64, how many of an image's features take a placeholder, counted from
            its first one: all of them, fewer where the sequence was cut, 0 if it is not shown.
        num_tokens: Tokens without padding.
    """

    input_ids: torch.Tensor
    labels: torch.Tensor
    attention_mask: torch.Tensor
    image_mask: torch.Tensor
    pixel_values: torch.Tensor
    image_lengths: torch.Tensor
    num_tokens: int

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


def collate(examples: Sequence[Example], pad_token_id: int, image_size: int) -> Batch:
    """Pad the examples and decode their images.

    Args:
        examples: At least one.
        pad_token_id: Fills `input_ids`; the mask, not the id, says what padding is.
        image_size: Edge of the vision tower's square in pixels.

    Raises:
        DataError: an image cannot be decoded.
    """
    longest = max(len(example.input_ids) for example in examples)
    shape = (len(examples), longest)
    input_ids = np.full(shape, pad_token_id, np.int64)
    labels = np.full(shape, IGNORE_INDEX, np.int64)
    attention_mask = np.zeros(shape, np.int64)
    image_mask = np.zeros(shape, np.bool_)
    images: list[Pixels] = []
    image_lengths: list[int] = []
    for row, example in enumerate(examples):
        length = len(example.input_ids)
        input_ids[row, :length] = example.input_ids
        labels[row, :length] = example.labels
        attention_mask[row, :length] = 1
        pixels = _pixels(example, image_size)
        for start, run in example.image_runs or ((0, 0),):
            image_mask[row, start : start + run] = True
            images.append(pixels)
            image_lengths.append(run)
    return Batch(
        input_ids=torch.from_numpy(input_ids),
        labels=torch.from_numpy(labels),
        attention_mask=torch.from_numpy(attention_mask),
        image_mask=torch.from_numpy(image_mask),
        pixel_values=torch.from_numpy(np.stack(images)),
        image_lengths=torch.tensor(image_lengths),
        num_tokens=int(attention_mask.sum()),
    )


def _pixels(example: Example, image_size: int) -> Pixels:
    """An image that no placeholder shows has no influence, so that it need not be decoded."""
    if example.image is None or not example.image_runs:
        return np.zeros((3, image_size, image_size), np.float32)
    return load_pixels(example.image, image_size)
