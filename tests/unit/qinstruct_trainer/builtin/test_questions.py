"""Answers are true by construction: recomputed here from what was done to the picture."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qinstruct_trainer.builtin.distortions import (
    DISTORTIONS,
    SEVERITIES,
    Distortion,
    Severity,
    to_picture,
    well_exposed,
)
from qinstruct_trainer.builtin.questions import ASPECTS, CANDIDATES, Subject, ask
from qinstruct_trainer.builtin.scenes import draw_scene

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


def base_pixels() -> np.ndarray:
    picture, _ = draw_scene(112, np.random.default_rng(3))
    return well_exposed(picture)


def sharpness(pixels: np.ndarray) -> float:
    return float(np.abs(np.diff(pixels, axis=1)).mean())


@pytest.mark.parametrize("distortion", DISTORTIONS, ids=lambda distortion: distortion.name)
def test_severities_do_not_overlap(distortion: Distortion) -> None:
    rng = np.random.default_rng(0)
    slight = [distortion.draw_strength("slight", rng) for _ in range(100)]
    severe = [distortion.draw_strength("severe", rng) for _ in range(100)]
    assert max(slight) < min(severe) or max(severe) < min(slight)


@pytest.mark.parametrize("distortion", DISTORTIONS, ids=lambda distortion: distortion.name)
def test_severe_is_further_from_the_original_than_slight(distortion: Distortion) -> None:
    base = base_pixels()
    errors = []
    for strength in (np.mean(distortion.slight), np.mean(distortion.severe)):
        changed = distortion.apply(base, float(strength), np.random.default_rng(0))
        pixels = np.asarray(to_picture(changed), dtype=np.float32) / 255
        errors.append(float(np.square(pixels - base).mean()))
    assert 0 < errors[0] < errors[1]


def test_distortions_do_what_their_names_say() -> None:
    base = base_pixels()
    by_name = {}
    for distortion in DISTORTIONS:
        strength = float(np.mean(distortion.slight))
        changed = distortion.apply(base, strength, np.random.default_rng(0))
        by_name[distortion.name] = np.clip(changed, 0, 1)
    assert sharpness(by_name["blur"]) < 0.8 * sharpness(base)
    assert sharpness(by_name["noise"]) > sharpness(base)
    assert by_name["darkness"].mean() < 0.7 * base.mean()
    assert by_name["brightness"].mean() > 1.2 * base.mean()
    assert by_name["contrast"].std() < 0.7 * base.std()
    assert abs(by_name["contrast"].mean() - base.mean()) < 0.02


@settings(deadline=None, max_examples=30)
@given(seed=seeds)
def test_what_distortions_start_from_is_well_exposed(seed: int) -> None:
    picture, _ = draw_scene(112, np.random.default_rng(seed))
    luma = well_exposed(picture) @ np.array([0.299, 0.587, 0.114])
    assert 0.35 < luma.mean() < 0.55
    assert luma.std() > 0.1
