"""Kinds of questions, by their words."""

import pytest

from qinstruct_trainer.data.records import parse_record
from qinstruct_trainer.report.kinds import question_kind
from support.report import record


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Is this image blurry?\n<image>", "yes-no"),
        ("<image>\nDoes it look sharp?", "yes-no"),
        ("Which part is over-exposed?", "what"),
        ("What's wrong?", "other"),
        ("How is the lighting?\nA. Good\nB. Bad", "how, with options"),
        (
            "What is it? Answer with the option's letter from the given choices directly.",
            "what, with options",
        ),
        ("Who wrote it?\nAnswer the question using a single word or phrase.", "what, short answer"),
        ("Describe and evaluate the quality of the image.", "description"),
        ("<image>", "no question"),
        ("...", "other"),
    ],
)
def test_a_kind(question: str, kind: str) -> None:
    assert question_kind(parse_record(record("a.jpg", question), 0)) == kind
