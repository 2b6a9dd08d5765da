"""A conversation's text, and what of it is learnt (equality with the original: tests/oracle)."""

import pytest

from qinstruct_trainer.data.conversation import render
from qinstruct_trainer.data.records import Record, Turn

SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives "
    "helpful, detailed, and polite answers to the user's questions."
)
HUMAN, GPT = "human", "gpt"
CASES = {
    "one answer": (
        [(HUMAN, "Is it sharp?"), (GPT, "Yes.")],
        " USER: Is it sharp? ASSISTANT: Yes.</s>",
        [" Yes.</s>"],
    ),
    "two answers": (
        [(HUMAN, "Is it sharp?"), (GPT, "Yes."), (HUMAN, "Why?"), (GPT, "Edges.")],
        " USER: Is it sharp? ASSISTANT: Yes.</s>USER: Why? ASSISTANT: Edges.</s>",
        [" Yes.</s>", " Edges.</s>"],
    ),
    "the image, moved to the front": (
        [(HUMAN, "Is it sharp?\n<image>"), (GPT, "Yes.")],
        " USER: <image>\nIs it sharp? ASSISTANT: Yes.</s>",
        [" Yes.</s>"],
    ),
    "the image alone": (
        [(HUMAN, " <image> "), (GPT, "Yes.")],
        " USER: <image> ASSISTANT: Yes.</s>",
        [" Yes.</s>"],
    ),
    "the image, in an answer": (
        [(HUMAN, "Is it sharp?"), (GPT, "Yes. <image>")],
        " USER: Is it sharp? ASSISTANT: <image>\nYes.</s>",
        [" <image>\nYes.</s>"],
    ),
    "an answer to nothing, left out": (
        [(GPT, "Hello."), (HUMAN, "Is it sharp?"), (GPT, "Yes.")],
        " USER: Is it sharp? ASSISTANT: Yes.</s>",
        [" Yes.</s>"],
    ),
    "turns without text": (
        [(HUMAN, ""), (GPT, ""), (HUMAN, "Why?"), (GPT, "Edges.")],
        " USER:ASSISTANT:USER: Why? ASSISTANT: Edges.</s>",
        [" Edges.</s>"],
    ),
    "a question without answer": ([(HUMAN, "Is it sharp?")], " USER: Is it sharp? ", []),
}


@pytest.mark.parametrize(("turns", "text", "answers"), CASES.values(), ids=CASES)
def test_the_text_is_the_published_template_and_the_answers_are_learnt(
    turns: list[tuple[str, str]], text: str, answers: list[str]
) -> None:
    said = tuple(Turn("gpt" if speaker == GPT else "human", words) for speaker, words in turns)
    prompt = render(Record("r", "a.jpg", said))
    assert prompt.text == SYSTEM + text
    assert [prompt.text[start:end] for start, end in prompt.answers] == answers


def test_without_an_image_the_token_is_text() -> None:
    turns = (Turn("human", "What is <image> ?"), Turn("gpt", "A token."))
    prompt = render(Record("r", None, turns))
    assert prompt.text == f"{SYSTEM} USER: What is <image> ? ASSISTANT: A token.</s>"
