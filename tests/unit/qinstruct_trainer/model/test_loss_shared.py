"""Records that share their image in one row have the loss and the gradients of separate ones."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from transformers import LlavaForConditionalGeneration

from qinstruct_trainer.data.collate import collate_pieces
from qinstruct_trainer.data.index.reader import Example
from qinstruct_trainer.model.llava import enable_activation_checkpointing, freeze_tower
from qinstruct_trainer.model.loss import LlavaLoss
from support.model.exact import exact_model, padded_logits
from support.model.tiny import IMAGE_SIZE, IMAGE_TOKEN, NUM_PATCHES, Samples, pixels_for, tiny_model

Pieces = list[Samples]


def pieces_of(drawn: Sequence[Sequence[tuple[list[int], list[int], int]]]) -> Pieces:
    """Samples by image: what stands before the image, the words after it, how many are learnt."""
    return [
        [
            (ids, [-100] * (len(ids) - learnt) + ids[len(ids) - learnt :])
            for before, words, learnt in piece
            for ids in [[1, *before, *[IMAGE_TOKEN] * NUM_PATCHES, *words]]
        ]
        for piece in drawn
    ]


@st.composite
def drawn_pieces(draw: st.DrawFn) -> Pieces:
    """One to three images; records of few words begin alike beyond their image."""
    words = st.lists(st.integers(3, 5), min_size=1, max_size=12)
    pieces = []
    for _ in range(draw(st.integers(1, 3))):
        before = draw(st.lists(st.integers(3, IMAGE_TOKEN - 1), max_size=3))
        records = draw(st.lists(words, min_size=1, max_size=5))
        learnt = [draw(st.integers(1, len(record))) for record in records]
        pieces.append([(before, *each) for each in zip(records, learnt, strict=True)])
    return pieces_of(pieces)


def separate_loss(
    model: LlavaForConditionalGeneration, pieces: Pieces, pixels: Tensor, divisors: list[int]
) -> Tensor:
    """transformers' own forward of each record in a padded row with its own copy of the image."""
    samples = [sample for piece in pieces for sample in piece]
    image_of = [number for number, piece in enumerate(pieces) for _ in piece]
    logits, labels = padded_logits(model, samples, pixels[image_of])
    losses = functional.cross_entropy(
        logits[:, :-1, :IMAGE_TOKEN].transpose(1, 2), labels[:, 1:], reduction="none"
    )
    return (losses.sum(dim=1) / torch.tensor(divisors)).sum()


def shared_loss(
    model: LlavaForConditionalGeneration, pieces: Pieces, pixels: Tensor, divisors: list[int]
) -> Tensor:
    examples = [
        [Example(np.array(ids), np.array(labels), None, ((run(ids), NUM_PATCHES),))
         for ids, labels in piece]
        for piece in pieces
    ]  # fmt: skip
    batch = collate_pieces(examples, divisors, IMAGE_SIZE)
    assert len(batch.pixel_values) == len(pieces)
    expected = [label for piece in pieces for _, labels in piece for label in labels if label > 0]
    assert batch.targets.tolist() == expected
    loss: Tensor = LlavaLoss(model)(replace(batch, pixel_values=pixels))
    return loss


def run(ids: list[int]) -> int:
    return ids.index(IMAGE_TOKEN)


def gradients(model: LlavaForConditionalGeneration, loss: Tensor) -> dict[str, Tensor]:
    loss.backward()  # type: ignore[no-untyped-call]
    return {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


@settings(max_examples=25, deadline=None)
@given(
    pieces=drawn_pieces(),
    checkpointing=st.booleans(),
    head_size=st.sampled_from((None, 128)),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_loss_and_every_gradient_equal_those_of_separate_records(
    pieces: Pieces, checkpointing: bool, head_size: int | None, seed: int, data: st.DataObject
) -> None:
    """In float64 the two differ by the order of sums alone; 1e-9 is far above that."""
    pixels = pixels_for([True] * len(pieces), seed).double()
    divisors = [data.draw(st.integers(1, 50)) for piece in pieces for _ in piece]
    ours, theirs = exact_model("sdpa", head_size), exact_model("sdpa", head_size)
    for model in (ours, theirs):
        freeze_tower(model)
    if checkpointing:
        enable_activation_checkpointing(ours)
    expected = separate_loss(theirs, pieces, pixels, divisors)
    found = shared_loss(ours, pieces, pixels, divisors)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    expected_gradients = gradients(theirs, expected)
    found_gradients = gradients(ours, found)
    assert found_gradients.keys() == expected_gradients.keys()
    for name, gradient in expected_gradients.items():
        torch.testing.assert_close(found_gradients[name], gradient, rtol=1e-9, atol=1e-11, msg=name)


@pytest.mark.parametrize("seed", range(3))
def test_in_float32_they_differ_by_rounding(seed: int) -> None:
    """By at most n * u of the largest gradient: u = 2^-24, n additions on the longest way.

    Forward and backward (2) through 2 layers, whose sums have 32 (four projections, head and norms
    at the most), 48 (the MLP) and 60 terms (the keys): n = 2 * 2 * (6 * 32 + 2 * 48 + 2 * 60), and
    as many again because both sides round.
    """
    rng = np.random.default_rng(seed)
    words = [rng.integers(3, IMAGE_TOKEN, rng.integers(4, 50)).tolist() for _ in range(8)]
    pieces = pieces_of([[([], each, 3) for each in words[n::2]] for n in range(2)])
    pixels = pixels_for([True, True], seed)
    divisors = [24] * 8
    ours, theirs = tiny_model(seed, "sdpa"), tiny_model(seed, "sdpa")
    for model in (ours, theirs):
        freeze_tower(model)
    expected = separate_loss(theirs, pieces, pixels, divisors)
    found = shared_loss(ours, pieces, pixels, divisors)
    bound = 2 * 2 * 2 * (6 * 32 + 2 * 48 + 2 * 60) * 2.0**-24
    torch.testing.assert_close(found, expected, rtol=bound, atol=0.0)
    expected_gradients = gradients(theirs, expected)
    largest = max(float(gradient.abs().max()) for gradient in expected_gradients.values())
    for name, gradient in gradients(ours, found).items():
        assert float((gradient - expected_gradients[name]).abs().max()) <= bound * largest, name


def test_the_first_target_of_a_branch_is_learnt_from_the_last_shared_token() -> None:
    """A packer that shifts labels within branches would lose it."""
    pieces = pieces_of([[([], [7, 8], 2), ([], [9], 1)]])
    model = tiny_model()
    pixels = pixels_for([True])
    found = shared_loss(model, pieces, pixels, [1, 1])
    torch.testing.assert_close(
        found, separate_loss(tiny_model(), pieces, pixels, [1, 1]), rtol=1e-5, atol=1e-5
    )
