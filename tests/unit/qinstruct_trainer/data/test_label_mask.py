"""Labels are the ids of the answers, and what they decode to is what was answered."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.conversation import Prompt
from qinstruct_trainer.data.label_mask import IGNORE_INDEX, check_answers, mask_labels
from qinstruct_trainer.data.records import Record, Turn

RECORD = Record("r1", None, (Turn("human", "Sharp?"), Turn("gpt", "Yes.")))
WITH_IMAGE = Record("r2", "a.jpg", RECORD.turns)


def test_tokens_that_begin_in_an_answer_are_learnt() -> None:
    prompt = Prompt("Q: A1 Q: A2", ((2, 5), (8, 11)))
    labels = mask_labels(np.arange(10, 17), [0, 2, 4, 5, 7, 8, 10], prompt)
    assert labels.tolist() == [-100, 11, 12, -100, -100, 15, 16]


def test_an_image_and_a_prompt_without_answers_are_not_learnt() -> None:
    ids = np.array([1, 9, 2])
    assert mask_labels(ids, [0, -1, 1], Prompt("ab", ((0, 2),))).tolist() == [1, -100, 2]
    assert (mask_labels(ids, [0, -1, 1], Prompt("ab", ())) == IGNORE_INDEX).all()


@given(
    st.lists(st.integers(-1, 40), max_size=30),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=3),
)
def test_a_label_is_its_id_or_nothing(starts: list[int], spans: list[tuple[int, int]]) -> None:
    ids = np.arange(1, len(starts) + 1)
    labels = mask_labels(ids, starts, Prompt("x" * 40, tuple(spans)))
    for token, label, start in zip(ids, labels, starts, strict=True):
        is_learnt = any(begin <= start < end for begin, end in spans)
        assert label == (token if is_learnt else IGNORE_INDEX)


@pytest.mark.parametrize("decoded", [" Yes.</s>", "Yes. </s>", "\u2581Yes.</s>"])
def test_spaces_do_not_matter(decoded: str) -> None:
    check_answers(RECORD, Prompt("U: Sharp? A: Yes.</s>", ((12, 21),)), decoded)


@pytest.mark.parametrize("decoded", ["", "Yes.", "No.</s>", "Yes.</s></s>", ": Yes.</s>"])
def test_anything_else_is_refused_with_the_record(decoded: str) -> None:
    with pytest.raises(DataError, match="record 'r1': its labels decode to"):
        check_answers(RECORD, Prompt("U: Sharp? A: Yes.</s>", ((12, 21),)), decoded)


def test_an_image_inside_an_answer_has_no_text() -> None:
    prompt = Prompt("A: <image>\nYes.", ((2, 15),))
    check_answers(WITH_IMAGE, prompt, "\nYes.")
    with pytest.raises(DataError):
        check_answers(RECORD, prompt, "\nYes.")
