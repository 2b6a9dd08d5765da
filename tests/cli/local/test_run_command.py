"""`qinstruct run` around the two stages, which other tests run: before them and after them."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from qinstruct_operator.cli import main
from qinstruct_operator.cli.local.run import LocalRun
from qinstruct_trainer.contract.errors import EXIT_CONFIG, EXIT_OK, EXIT_STOPPED
from qinstruct_trainer.contract.events import Complete
from support.operator_documents import document


def write(folder: Path, **spec: Any) -> list[str]:
    """The arguments that run a Tiny run called x in a folder."""
    file = folder / "run.yaml"
    file.write_text(yaml.safe_dump(document(size="Tiny", **spec)), "utf-8")
    return ["run", str(file), "--workdir", str(folder / "runs")]


def complete(run: LocalRun) -> int:
    """In place of the stages: leave what they leave."""
    run.folder.model.mkdir()
    (run.folder.model / "config.json").touch()
    run.folder.termination_log("train").write_text(Complete(model="/x").model_dump_json())
    return EXIT_OK


def test_a_run_is_carried_out_once_and_then_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(LocalRun, "run", complete)
    model = f"model       {tmp_path}/runs/x/model"
    assert main(write(tmp_path)) == EXIT_OK
    assert model in capsys.readouterr().out.splitlines()

    monkeypatch.setattr(LocalRun, "run", lambda _: pytest.fail("was started again"))
    assert main(write(tmp_path)) == EXIT_OK
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == f"this run is already complete: {tmp_path}/runs/x"
    assert model in shown


def test_a_run_that_is_stopped_shows_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(LocalRun, "run", lambda _: EXIT_STOPPED)
    assert main(write(tmp_path)) == EXIT_STOPPED
    assert capsys.readouterr() == ("", "")
    assert (tmp_path / "runs/x/run.json").is_file()


def test_another_training_in_the_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(LocalRun, "run", complete)
    assert main(write(tmp_path)) == EXIT_OK
    assert main(write(tmp_path, training={"seed": 7})) == EXIT_CONFIG
    assert "holds a training that began with seed 42" in capsys.readouterr().err
