"""Examples to one batch of tensors: one after another in one row, without padding.

Examples of one image may share the tokens that they begin with: a piece of the row is then those
tokens once, and after them what each example has of its own, as branches of a tree.

Every example brings at least one image, a black one after normalisation (zeros) if it shows none,
as in the published code: the vision tower and the projector then run on every rank in every step,
which collective communication needs.
"""

from collections.abc import Callable, Iterator, Sequence
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
    """What one forward pass takes: B pieces of T tokens in all, and P >= B images.

    What the host must know of a tensor's contents is here as plain numbers, and what would be
    looked for on the device stands here as places: a pass then never waits for the device.

    Attributes:
        input_ids: [T] int64.
        positions: [T] int64, from 0 in each example.
        lengths: Tokens of each piece, an example or several that share; their sum is T.
        starts: [B + 1] int32, where each piece begins, and T.
        pixel_values: [P, 3, S, S] float32, in the order of the placeholders. P = B unless an
            example alone shows its image in several turns.
        image_places: [K] int64, the places of all placeholders, in order.
        shown: [2, K] int64, the image and its patch that each placeholder shows. A run of them
            begins with the first patch, and ends early where the sequence was cut.
        learnt: [L] int64, the places whose next token is learnt: several next ones where several
            examples share the place.
        targets: [L] int64, these next tokens.
        divisors: [L] int64, what the loss of each target is divided by; None: all by L.
        branches: Of each piece the tokens that are shared and those of each branch; of an example
            alone its length. Empty if all are alone.
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
    divisors: torch.Tensor | None = None
    branches: tuple[tuple[int, ...], ...] = ()

    @property
    def squared_tokens(self) -> int:
        """Twice the pairs of tokens that attention compares, as the sum of squared lengths."""
        trees = self.branches or tuple((length,) for length in self.lengths)
        return sum(
            shared * shared + sum(own * (own + 2 * shared) for own in branches)
            for shared, *branches in trees
        )

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
    return collate_pieces([[example] for example in examples], None, image_size, store)


def collate_pieces(
    pieces: Sequence[Sequence[Example]],
    divisors: Sequence[int] | None,
    image_size: int,
    store: PixelStore | None = None,
) -> Batch:
    """The same of pieces, whose examples have the same image and share their first tokens.

    Args:
        pieces: At least one, of at least one example each. Where the tokens that two or more
            begin with do not hold their image, they are laid one after another.
        divisors: Of each example in turn; see `Batch`.
        image_size: See `collate`.
        store: See `collate`.

    Raises:
        DataError: an image cannot be decoded.
    """
    trees = [_Tree(part) for piece in pieces for part in _sharing(piece)]
    branches = tuple(tree.branches for tree in trees)
    lengths = tuple(map(sum, branches))
    starts = np.cumsum((0, *lengths))
    places: list[Places] = []
    shown: list[Places] = []
    learnt: list[Places] = []
    targets: list[Places] = []
    image = 0
    for tree, first in zip(trees, starts, strict=False):
        for found, patch, run in tree.images():
            places.append(first + found)
            shown.append(np.stack([np.full(len(patch), image + run), patch]))
        image += tree.num_images
        for found, following in tree.learnt():
            learnt.append(first + found)
            targets.append(following)
    counts = [len(following) for following in targets]
    return Batch(
        input_ids=_joined(
            [tree.joined([each.input_ids for each in tree.examples]) for tree in trees]
        ),
        positions=_joined(
            [
                tree.joined([np.arange(len(each.input_ids)) for each in tree.examples])
                for tree in trees
            ]
        ),
        lengths=lengths,
        starts=torch.from_numpy(starts.astype(np.int32)),
        pixel_values=_pixel_values(trees, image_size, store),
        image_places=_joined(places),
        shown=_joined(shown),
        learnt=_joined(learnt),
        targets=_joined(targets),
        divisors=None if divisors is None else torch.from_numpy(np.repeat(divisors, counts)),
        branches=branches if any(len(each) > 1 for each in branches) else (),
    )


class _Tree:
    """A piece of a row: what its examples share, and the rest of each, one after another."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples = examples
        self._shared = 0 if len(examples) == 1 else _common(examples)
        own = [len(example.input_ids) - self._shared for example in examples]
        self._firsts = np.cumsum((self._shared, *own))
        self.branches = (self._shared, *own) if self._shared else tuple(own)

    @property
    def num_images(self) -> int:
        """An image that is shown in several turns is there several times if it is not shared."""
        return 1 if self._shared else max(1, len(self.examples[0].image_runs))

    def joined(self, parts: Sequence[Places]) -> Places:
        """Values of each example's tokens, as they lie in the row."""
        return np.concatenate([parts[0][: self._shared], *(part[self._shared :] for part in parts)])

    def images(self) -> Iterator[tuple[Places, Places, int]]:
        """Of each run of placeholders: where they lie, their patches, and which image it is."""
        for number, example in enumerate(self.examples):
            for image, (start, run) in enumerate(example.image_runs or ((0, 0),)):
                patches = np.arange(run)
                if number:  # what is shared lies there already
                    patches = patches[start + patches >= self._shared]
                yield self._places(number, start + patches), patches, image * (not self._shared)

    def learnt(self) -> Iterator[tuple[Places, Places]]:
        """Of each example: from where its learnt tokens are foretold, and these tokens.

        A token is foretold from the one before it, and none is before an example's first. The
        first of a branch is foretold from the last one that is shared.
        """
        for number, example in enumerate(self.examples):
            following = example.labels[1:]
            is_learnt = np.flatnonzero(following != IGNORE_INDEX)
            yield self._places(number, is_learnt), following[is_learnt]

    def _places(self, number: int, tokens: Places) -> Places:
        """Where an example's tokens lie."""
        moved = self._firsts[number] - self._shared
        return np.where(tokens < self._shared, tokens, moved + tokens)


def _sharing(examples: Sequence[Example]) -> Iterator[Sequence[Example]]:
    """All of them, or each alone if they do not begin alike up to their image's end."""
    if len(examples) == 1:
        yield examples
        return
    common = _common(examples)
    runs = examples[0].image_runs
    if runs and sum(runs[0]) <= common:
        yield examples
    else:
        for example in examples:
            yield [example]


def _common(examples: Sequence[Example]) -> int:
    """How many tokens all begin with; each keeps at least one of its own."""
    common = min(len(example.input_ids) for example in examples) - 1
    first = examples[0].input_ids
    for example in examples[1:]:
        differs = np.flatnonzero(first[:common] != example.input_ids[:common])
        common = int(differs[0]) if len(differs) else common
    return common


def _joined(parts: Sequence[Places]) -> torch.Tensor:
    return torch.from_numpy(np.concatenate(parts, axis=-1, dtype=np.int64))


def _pixel_values(
    trees: Sequence[_Tree], image_size: int, store: PixelStore | None
) -> torch.Tensor:
    """[P, 3, S, S]: each image is written where it stays; one shown in several turns is copied."""
    pixels = np.empty(
        (sum(tree.num_images for tree in trees), 3, image_size, image_size), np.float32
    )
    end = 0
    for tree in trees:
        first, end = end, end + tree.num_images
        _write_pixels(tree.examples[0], pixels[first], store)
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
