"""Text-only conversations, as the published mix has them beside its image records. Pure."""

import numpy as np

_TERMS = {
    "blur": "the loss of fine detail, from a lens out of focus or a hand that moved",
    "noise": "random grain, from a sensor that got too little light",
    "underexposure": "a picture that is too dark, because too little light reached the sensor",
    "overexposure": "a picture that is too bright, with highlights cut off to white",
    "compression": "blocks and rings that a file made too small leaves behind",
    "contrast": "the distance between the dark and the bright parts of a picture",
}
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def general_turns(rng: np.random.Generator) -> list[tuple[str, str]]:
    """One to three questions with their answers."""
    return [_question(rng) for _ in range(int(rng.integers(1, 3, endpoint=True)))]


def _question(rng: np.random.Generator) -> tuple[str, str]:
    if rng.random() < 0.5:
        first, second = (int(number) for number in rng.integers(0, 5, 2, endpoint=True))
        question = f"How much is {_NUMBERS[first]} and {_NUMBERS[second]}?"
        return question, f"{_NUMBERS[first + second].capitalize()}."
    term = tuple(_TERMS)[int(rng.integers(len(_TERMS)))]
    return f"What does {term} mean in photography?", f"It is {_TERMS[term]}."
