"""Conversations as the published code writes them: template `v1` of LLaVA-v1.5. Pure.

    {system} USER: {question} ASSISTANT: {answer}</s>USER: {question} ASSISTANT: {answer}</s>

One space after the system sentence and after every question, none after `</s>`. An empty turn is
only its role and a colon, without what separates turns: the published code tests the text's truth.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from qinstruct_trainer.data.records import Record, Turn

IMAGE_TOKEN = "<image>"
END_TOKEN = "</s>"
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A conversation as one text.

    Attributes:
        text: The whole of it, `<image>` where the image belongs.
        answers: [start, end) of what is learnt, in characters: every answer with the space
            before it (a tokenizer makes it part of the first word) and its `</s>`.
    """

    text: str
    answers: tuple[tuple[int, int], ...]


def render(record: Record) -> Prompt:
    """The text of a record, and where its answers are."""
    parts = [SYSTEM, " "]
    length = len(SYSTEM) + 1
    answers = []
    for turn in shown_turns(record):
        is_answer = turn.speaker == "gpt"
        role = "ASSISTANT:" if is_answer else "USER:"
        said = f" {turn.text}{END_TOKEN if is_answer else ' '}" if turn.text else ""
        if is_answer and said:
            answers.append((length + len(role), length + len(role) + len(said)))
        parts += (role, said)
        length += len(role) + len(said)
    return Prompt("".join(parts), tuple(answers))


def shown_turns(record: Record) -> Sequence[Turn]:
    """The turns from the first question on, the image in front of the turn that shows it."""
    turns = record.turns[1:] if record.turns[0].speaker == "gpt" else record.turns
    if record.image is None:
        return turns
    return [_image_first(turn) if IMAGE_TOKEN in turn.text else turn for turn in turns]


def _image_first(turn: Turn) -> Turn:
    """The image at the front, on a line of its own, wherever the text has it."""
    text = turn.text.replace(IMAGE_TOKEN, "").strip()
    return Turn(turn.speaker, f"{IMAGE_TOKEN}\n{text}".strip())
