"""What is asked about a picture, and the one true answer. Pure.

A picture has at most one distortion, and which one is known: each answer is read off that, never
off the pixels. Within each kind all questions have the same candidate answers, drawn so
that no answer is much more frequent than another.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from qinstruct_trainer.builtin.distortions import DISTORTIONS, Distortion, Severity

Kind = Literal["yes-no", "what", "how", "description"]
CLOSED_KINDS: tuple[Kind, ...] = ("yes-no", "what", "how")

_NO_DISTORTION = "None"
_YES_NO = ("Yes", "No")
_WHAT = (_NO_DISTORTION, *(distortion.answer for distortion in DISTORTIONS))
_HOW = ("Good", "Fair", "Poor")
CANDIDATES: dict[Kind, tuple[str, ...]] = {
    "yes-no": tuple(f"{answer}." for answer in _YES_NO),
    "what": tuple(f"{answer}." for answer in _WHAT),
    "how": tuple(f"{answer}." for answer in _HOW),
}

_YES_NO_WORDINGS = ("Is this image {}?", "Does this picture look {}?")
_WHAT_WORDINGS = (
    "What is the most obvious distortion in this image?",
    "What degrades the quality of this picture the most?",
)
_HOW_WORDINGS = ("How is the {} of this image?", "How would you rate the {} of this picture?")
_DESCRIPTION = "Describe this image and evaluate its quality."

# What a `how` question may ask about, and the distortions that make the answer worse than good.
ASPECTS: dict[str, frozenset[str]] = {
    "sharpness": frozenset({"blur"}),
    "exposure": frozenset({"darkness", "brightness"}),
    "overall quality": frozenset(distortion.name for distortion in DISTORTIONS),
}
# Distortions that leave an aspect good beyond dispute.
_UNHARMED: dict[str, str] = {
    "blur": "exposure",
    "noise": "exposure",
    "compression": "exposure",
    "darkness": "sharpness",
    "brightness": "sharpness",
    "contrast": "sharpness",
}
# With one picture in seven undistorted, this makes a third of all `how` answers "Good".
_UNHARMED_SHARE = 2 / 9

_GRADE: dict[Severity | None, str] = {None: "Good", "slight": "Fair", "severe": "Poor"}


@dataclass(frozen=True)
class Subject:
    """What a question may refer to: the scene and what was done to it (None: nothing)."""

    phrase: str
    distortion: Distortion | None
    severity: Severity | None


@dataclass(frozen=True)
class Question:
    """A question without `<image>`; `concern` is what it is about."""

    kind: Kind
    concern: str
    text: str
    answer: str


def ask(kind: Kind, subject: Subject, rng: np.random.Generator) -> Question:
    """A question of this kind about the subject, with its true answer."""
    match kind:
        case "yes-no":
            return _ask_yes_no(subject, rng)
        case "what":
            return _ask_what(subject, rng)
        case "how":
            return _ask_how(subject, rng)
        case "description":
            return _ask_description(subject)


def _ask_yes_no(subject: Subject, rng: np.random.Generator) -> Question:
    """Yes for the state the picture is in, No for any other: each state equally often both."""
    adjectives = {"none": "of good quality"} | {d.name: d.adjective for d in DISTORTIONS}
    own = subject.distortion.name if subject.distortion else "none"
    others = [name for name in adjectives if name != own]
    is_yes = rng.random() < 0.5
    concern = own if is_yes else others[int(rng.integers(len(others)))]
    text = _pick(_YES_NO_WORDINGS, rng).format(adjectives[concern])
    return Question("yes-no", concern, text, "Yes." if is_yes else "No.")


def _ask_what(subject: Subject, rng: np.random.Generator) -> Question:
    answer = subject.distortion.answer if subject.distortion else _NO_DISTORTION
    return Question("what", "distortion", _pick(_WHAT_WORDINGS, rng), f"{answer}.")


def _ask_how(subject: Subject, rng: np.random.Generator) -> Question:
    if subject.distortion is None:
        concern = _pick(tuple(ASPECTS), rng)
    elif rng.random() < _UNHARMED_SHARE:
        concern = _UNHARMED[subject.distortion.name]
    else:
        name = subject.distortion.name
        concern = _pick(tuple(a for a, harmed_by in ASPECTS.items() if name in harmed_by), rng)
    harmed = subject.distortion is not None and subject.distortion.name in ASPECTS[concern]
    grade = _GRADE[subject.severity if harmed else None]
    return Question("how", concern, _pick(_HOW_WORDINGS, rng).format(concern), f"{grade}.")


def _ask_description(subject: Subject) -> Question:
    verdict = "It is clear and well exposed."
    if subject.distortion is not None:
        degree = "slightly" if subject.severity == "slight" else "severely"
        verdict = f"It is {degree} degraded: {subject.distortion.adjective}."
    quality = _GRADE[subject.severity].lower()
    answer = f"The image shows {subject.phrase}. {verdict} The overall quality is {quality}."
    return Question("description", "overall quality", _DESCRIPTION, answer)


def _pick(choices: tuple[str, ...], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]
