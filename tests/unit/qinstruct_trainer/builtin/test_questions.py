"""Answers are true by construction: recomputed here from what was done to the picture."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qinstruct_trainer.builtin.distortions import (
    DISTORTIONS,
    SEVERITIES,
    Severity,
)
from qinstruct_trainer.builtin.questions import ASPECTS, CANDIDATES, Subject, ask

UNDISTORTED = Subject("a tiled wall", None, None)
SUBJECTS = [
    UNDISTORTED,
    *(Subject("a tiled wall", d, severity) for d in DISTORTIONS for severity in SEVERITIES),
]
subjects = st.sampled_from(SUBJECTS)
seeds = st.integers(0, 2**32 - 1)


@given(subject=subjects, seed=seeds)
def test_yes_is_said_of_the_true_state_only(subject: Subject, seed: int) -> None:
    question = ask("yes-no", subject, np.random.default_rng(seed))
    state = subject.distortion.name if subject.distortion else "none"
    assert question.answer == ("Yes." if question.concern == state else "No.")
    words = {d.name: d.adjective for d in DISTORTIONS} | {"none": "of good quality"}
    assert words[question.concern] in question.text
    assert question.answer in CANDIDATES["yes-no"]


@given(subject=subjects, seed=seeds)
def test_what_names_the_distortion(subject: Subject, seed: int) -> None:
    question = ask("what", subject, np.random.default_rng(seed))
    assert question.answer == f"{subject.distortion.answer if subject.distortion else 'None'}."
    assert question.answer in CANDIDATES["what"]


@given(subject=subjects, seed=seeds)
def test_how_grades_the_harmed_aspect_by_severity(subject: Subject, seed: int) -> None:
    question = ask("how", subject, np.random.default_rng(seed))
    name = subject.distortion.name if subject.distortion else "none"
    grades: dict[Severity | None, str] = {"slight": "Fair.", "severe": "Poor.", None: "Good."}
    harmed = name in ASPECTS[question.concern]
    assert question.answer == (grades[subject.severity] if harmed else "Good.")
    assert question.concern in question.text


@given(subject=subjects, seed=seeds)
def test_a_description_says_subject_and_distortion(subject: Subject, seed: int) -> None:
    answer = ask("description", subject, np.random.default_rng(seed)).answer
    assert subject.phrase in answer
    if subject.distortion:
        assert subject.distortion.adjective in answer


def test_no_wording_gives_its_answer_away() -> None:
    """Each state is asked about as often where it holds as where it does not."""
    rng = np.random.default_rng(0)
    answers: dict[str, Counter[str]] = {}
    states = [UNDISTORTED, *(Subject("", d, "slight") for d in DISTORTIONS)]
    for number in range(14_000):
        question = ask("yes-no", states[number % len(states)], rng)
        answers.setdefault(question.concern, Counter())[question.answer] += 1
    for counts in answers.values():
        assert abs(counts["Yes."] / counts.total() - 0.5) < 0.06  # > 5 standard deviations
