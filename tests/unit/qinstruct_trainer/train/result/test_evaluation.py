import json
import os
import shutil
from pathlib import Path

import pytest

from qinstruct_trainer.contract.errors import StorageError
from qinstruct_trainer.contract.events import Evaluated, Evaluation, parse_line
from qinstruct_trainer.train.result.evaluation import evaluate_result
from support.model.builtin import read_array
from support.syncs import note_syncs

EARLIER = Evaluation(
    untrained=Evaluated(model="untrained", questions=2, accuracy=0.25, majority=0.5, by_kind={}),
    trained=Evaluated(model="trained", questions=2, accuracy=0.75, majority=0.5, by_kind={}),
)


def test_the_result_of_an_earlier_attempt_is_reported_without_a_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "evaluation.json").write_text(EARLIER.model_dump_json())
    evaluate_result(tmp_path, tmp_path / "no model", tmp_path / "no questions")
    assert _said(capsys) == [EARLIER.untrained, EARLIER.trained]


@pytest.mark.parametrize("content", ["{}", "[" * 10**5, '{"trained": 1e999}', "pipe", "link"])
def test_what_no_attempt_has_written_is_not_believed(content: str, tmp_path: Path) -> None:
    """It is computed again: here there is nothing to compute it from."""
    path = tmp_path / "evaluation.json"
    if content == "pipe":
        os.mkfifo(path)
    elif content == "link":
        (tmp_path / "elsewhere").write_text(EARLIER.model_dump_json())
        path.symlink_to("elsewhere")
    else:
        path.write_text(content)
    with pytest.raises(StorageError, match="no questions"):
        evaluate_result(tmp_path, tmp_path / "no model", tmp_path / "no questions")


@pytest.mark.slow
def test_both_models_are_evaluated_and_the_result_is_kept(
    builtin_data: Path,
    builtin_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heldout = tmp_path / "heldout.json"
    heldout.write_text(json.dumps(read_array(builtin_data / "heldout.json")[:2]))
    (tmp_path / "images").symlink_to(builtin_data / "images")
    shutil.copytree(builtin_model, tmp_path / "run" / "model")
    syncs = note_syncs(monkeypatch, tmp_path / "run" / "evaluation.json")
    evaluate_result(tmp_path / "run", builtin_model, heldout)
    untrained, trained = _said(capsys)
    assert (untrained.model, trained.model) == ("untrained", "trained")
    assert (untrained.questions, untrained.accuracy) == (2, trained.accuracy)
    kept = Evaluation.model_validate_json((tmp_path / "run" / "evaluation.json").read_bytes())
    assert (kept.untrained, kept.trained) == (untrained, trained)
    assert len(syncs.before) == 1
    assert syncs.after == {tmp_path / "run"}


def _said(capsys: pytest.CaptureFixture[str]) -> list[Evaluated]:
    events = [parse_line(line, None) for line in capsys.readouterr().out.splitlines()]
    return [event for event in events if isinstance(event, Evaluated)]
