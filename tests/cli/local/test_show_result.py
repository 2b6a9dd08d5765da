"""What `qinstruct run` prints of a complete run."""

import io
from pathlib import Path
from typing import Literal

from rich.console import Console

from qinstruct_operator.cli.local.folder import RunFolder
from qinstruct_operator.cli.local.show_result import show_result
from qinstruct_trainer.contract.events import Answer, Evaluated, Evaluation


def evaluated(
    model: Literal["untrained", "trained"], accuracy: float, *examples: Answer
) -> Evaluated:
    return Evaluated(
        model=model,
        questions=400,
        accuracy=accuracy,
        majority=0.5,
        by_kind={"yes-or-no": accuracy},
        majority_by_kind={"yes-or-no": 0.5},
        examples=examples,
    )


def shown(folder: RunFolder, *, already: bool = False) -> str:
    stream = io.StringIO()
    show_result(Console(file=stream, width=120), folder, already=already)
    return stream.getvalue()


def test_no_name_of_a_record_commands_the_terminal(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    bad = "\x1b]0;mine\x07\x1b[2Jx\u202e"
    answer = Answer(image=bad, kind=bad, question=bad, expected=bad, answered=bad)
    trained = evaluated("trained", 0.9, answer)
    trained = trained.model_copy(update={"by_kind": {bad: 0.9}, "majority_by_kind": {bad: 0.5}})
    found = Evaluation(untrained=evaluated("untrained", 0.5), trained=trained)
    folder.evaluation.write_text(found.model_dump_json())
    text = shown(folder)
    assert text.count("x?") == 5
    assert all(sign.isprintable() or sign == "\n" for sign in text)
    assert "mine" not in text


def test_accuracy_answers_and_paths(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / ("long" * 40))
    folder.logs.mkdir(parents=True)
    answers = [
        Answer(
            image=f"{n}.png",
            kind="yes-or-no",
            question="[b]sharp?[/b]",
            expected="no",
            answered="yes",
        )
        for n in range(9)
    ]
    evaluation = Evaluation(
        untrained=evaluated("untrained", 0.25), trained=evaluated("trained", 0.875, *answers)
    )
    folder.evaluation.write_text(evaluation.model_dump_json())
    text = shown(folder)
    assert "Accuracy on 400 held-out questions" in text
    for figure in ("87.5%", "25.0%", "50.0%"):
        assert figure in text
    assert "[b]sharp?[/b]" in text  # no markup
    assert "5.png" in text
    assert "6.png" not in text  # some answers, not all
    lines = text.splitlines()
    assert f"evaluation  {folder.evaluation}" in lines  # in one piece, to be copied
    assert f"logs        {folder.logs}" in lines
    assert not any(line.startswith("model ") for line in lines)  # it is not there


def test_a_run_without_held_out_questions(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.model.mkdir()
    text = shown(folder, already=True)
    assert text.splitlines() == [
        f"this run is already complete: {tmp_path}",
        f"model       {folder.model}",
    ]


def test_an_unreadable_evaluation_is_left_out(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.evaluation.write_text("{")
    assert shown(folder).splitlines() == [f"evaluation  {folder.evaluation}"]
