"""Text-only conversations: one to three questions, each with its true answer."""

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qinstruct_trainer.builtin.text_conversations import general_turns

NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
seeds = st.integers(0, 2**32 - 1)


@given(seed=seeds)
def test_a_conversation_has_one_to_three_questions(seed: int) -> None:
    turns = general_turns(np.random.default_rng(seed))
    assert 1 <= len(turns) <= 3
    assert turns == general_turns(np.random.default_rng(seed))


@given(seed=seeds)
def test_sums_are_right(seed: int) -> None:
    for question, answer in general_turns(np.random.default_rng(seed)):
        asked = re.fullmatch(r"How much is (\w+) and (\w+)\?", question)
        if asked:
            total = sum(NUMBERS.index(word) for word in asked.groups())
            assert answer == f"{NUMBERS[total].capitalize()}."


def test_a_term_has_one_meaning_and_no_other_terms() -> None:
    rng = np.random.default_rng(0)
    turns = {turn for _ in range(400) for turn in general_turns(rng)}
    terms = {question: answer for question, answer in turns if "photography" in question}
    assert len(terms) == len({turn for turn in turns if "photography" in turn[0]}) == 6
    assert len({*terms.values()}) == 6
