"""Rows of a step: every record once, one piece of an image, equal work, few divisions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qinstruct_trainer.train.batches.layout import TOLERANCE, Piece, Row, lay_out


def tokens(row: Row) -> int:
    return sum(piece.tokens for piece in row)


@st.composite
def drawn_pieces(draw: st.DrawFn) -> list[Piece]:
    """Images of one to thirty records, of tokens as few or as many as there can be."""
    sizes = draw(st.lists(st.integers(1, 30), min_size=1, max_size=12))
    own = draw(st.sampled_from((st.integers(1, 3), st.integers(20, 130), st.integers(1, 2000))))
    numbers = iter(range(sum(sizes)))
    return [
        Piece(
            image, draw(st.integers(0, 48)), tuple((next(numbers), draw(own)) for _ in range(size))
        )
        for image, size in enumerate(sizes)
    ]


@settings(max_examples=150, deadline=None)
@given(
    pieces=drawn_pieces(), num_ranks=st.integers(1, 8), budget=st.sampled_from((2048, 4096, 32768))
)
def test_every_record_is_in_one_row_and_no_row_is_empty_or_too_long(
    pieces: list[Piece], num_ranks: int, budget: int
) -> None:
    records = sorted(record for piece in pieces for record in piece.records)
    num_ranks = min(num_ranks, len(records))
    rows = lay_out(pieces, num_ranks, budget)
    assert sorted(record for row in rows for piece in row for record in piece.records) == records
    assert len(rows) % num_ranks == 0
    assert all(rows)
    assert all(piece.records for row in rows for piece in row)
    if len(rows) < len(records) // num_ranks * num_ranks:
        assert max(map(tokens, rows)) <= budget
    for row in rows:
        images = [piece.image for piece in row]
        assert len(images) == len(set(images))
    assert rows == lay_out(pieces, num_ranks, budget)


@pytest.mark.parametrize("num_ranks", [1, 2, 4, 8])
def test_steps_of_the_published_shape_have_equal_rows_and_few_copies(num_ranks: int) -> None:
    """12 images of about 10.6 questions, 618 tokens shared and 75 of each question's own."""
    rng = np.random.default_rng(num_ranks)
    unequal, copies = [], []
    for _ in range(10):
        numbers = iter(range(1000))
        pieces = [
            Piece(
                image,
                618,
                tuple(
                    (next(numbers), int(own))
                    for own in rng.choice((40, 50, 60, 110, 140), rng.poisson(9.6) + 1)
                ),
            )
            for image in range(12)
        ]
        rows = lay_out(pieces, num_ranks, 32768)
        assert len(rows) == num_ranks
        unequal.append(max(map(tokens, rows)) * num_ranks / sum(map(tokens, rows)) - 1)
        copies.append(sum(map(len, rows)))
    assert np.mean(unequal) < TOLERANCE
    assert max(unequal) < 2 * TOLERANCE
    assert np.mean(copies) <= (16.5 if num_ranks == 8 else 13.5)


def test_records_that_share_nothing_are_dealt_evenly() -> None:
    rng = np.random.default_rng(0)
    pieces = [
        Piece(-1 - n, 0, ((n, int(own)),)) for n, own in enumerate(rng.integers(620, 900, 128))
    ]
    rows = lay_out(pieces, 8, 32768)
    assert len(rows) == 8
    assert max(map(tokens, rows)) * 8 < (1 + TOLERANCE) * sum(map(tokens, rows))


def test_what_does_not_fit_into_a_row_takes_more_passes() -> None:
    pieces = [Piece(0, 618, tuple((n, 100) for n in range(40)))]
    rows = lay_out(pieces, 2, 2048)
    assert len(rows) == 4
    assert max(map(tokens, rows)) <= 2048
