import json
import math
from pathlib import Path

import pytest

from qinstruct_trainer.evaluate.accuracy import evaluate_model, majority_accuracy
from qinstruct_trainer.evaluate.heldout import HeldoutQuestion, read_heldout
from support.model.builtin import read_array


@pytest.mark.slow
def test_an_untrained_model_is_at_chance(builtin_data: Path, builtin_model: Path) -> None:
    result = evaluate_model(
        builtin_model,
        builtin_data / "heldout.json",
        builtin_data / "images",
        label="untrained",
        num_examples=3,
    )
    questions = read_heldout(builtin_data / "heldout.json")
    assert (result.model, result.questions) == ("untrained", len(questions))
    chances = [1 / len(question.candidates) for question in questions]
    chance = sum(chances) / len(chances)
    deviation = math.sqrt(sum(p * (1 - p) for p in chances)) / len(chances)
    assert abs(result.accuracy - chance) < 4 * deviation
    assert set(result.by_kind) == {"yes-no", "what", "how"}
    assert len(result.examples) == 3
    assert {example.kind for example in result.examples} <= set(result.by_kind)


def test_a_few_questions_give_a_whole_report(
    builtin_data: Path, builtin_model: Path, tmp_path: Path
) -> None:
    few = read_array(builtin_data / "heldout.json")[:4]
    (tmp_path / "few.json").write_text(json.dumps(few), "utf-8")
    result = evaluate_model(
        builtin_model, tmp_path / "few.json", builtin_data / "images", label="trained"
    )
    assert (result.questions, len(result.examples)) == (4, 4)
    again = evaluate_model(
        builtin_model, tmp_path / "few.json", builtin_data / "images", label="trained"
    )
    assert again.accuracy == result.accuracy
    assert again.examples == result.examples


def test_majority_is_taken_within_each_kind() -> None:
    answers = [("yes-no", "Yes."), ("yes-no", "No."), ("yes-no", "No."), ("how", "Yes.")]
    questions = [
        HeldoutQuestion(
            id="1",
            image="1.png",
            kind=kind,
            question="Is this image blurry?",
            answer=answer,
            candidates=("Yes.", "No."),
        )
        for kind, answer in answers
    ]
    assert majority_accuracy(questions) == 3 / 4
