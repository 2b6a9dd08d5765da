"""Which tokens are learnt: labels are the ids of the answers, IGNORE_INDEX everywhere else. Pure.

The published code finds the answers again by tokenising rounds once more and counting, which goes
wrong in silence (docs/fidelity.md). Here labels come from where the answers are in the text, and
what is learnt is decoded and compared.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.conversation import IMAGE_TOKEN, Prompt
from qinstruct_trainer.data.records import Record

IGNORE_INDEX = -100
Ids = npt.NDArray[np.int64]


def mask_labels(ids: Ids, starts: Sequence[int], prompt: Prompt) -> Ids:
    """The labels of a prompt's tokens.

    Args:
        ids: [T].
        starts: [T], where each token begins in the prompt's text, in characters; -1 for an image.
        prompt: Says where the answers are.
    """
    places = np.array(starts)
    learnt = np.zeros(len(ids), np.bool_)
    for start, end in prompt.answers:
        learnt |= (places >= start) & (places < end)
    return np.where(learnt, ids, IGNORE_INDEX)


def check_answers(record: Record, prompt: Prompt, decoded: str) -> None:
    """What is learnt is what the record answers.

    Spaces are left out of the comparison: a tokenizer adds one where a chunk begins and, with
    `legacy`, after a special token; and it writes U+2581 for them.

    Raises:
        DataError: it is not.
    """
    expected = "".join(prompt.text[start:end] for start, end in prompt.answers)
    if record.image is not None:
        expected = expected.replace(IMAGE_TOKEN, "")
    if _without_spaces(decoded) != _without_spaces(expected):
        raise DataError(
            f"record {record.id!r:.80}: its labels decode to {decoded!r:.120}, not to its answers "
            f"{expected!r:.120}; its text and this tokenizer do not go together"
        )


def _without_spaces(text: str) -> str:
    return text.replace(" ", "").replace("\u2581", "")
