"""What this machine cannot run is refused before anything is written."""

import os
import sys
from pathlib import Path

import pytest

from qinstruct_operator.cli import main
from qinstruct_operator.cli.local.machine import check_machine
from qinstruct_trainer.contract.errors import EXIT_CONFIG, ConfigError
from support.operator_documents import document, plan


def test_gpus_that_are_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if any(path.name.startswith("nvidia") for path in Path("/dev").iterdir()):
        pytest.skip("this machine has GPUs")
    file = tmp_path / "large.yaml"
    file.write_text(
        "apiVersion: qinstruct.dev/v1alpha1\nkind: QInstructTraining\n"
        "metadata: {name: large}\nspec: {size: 13B, strategy: after}\n"
    )
    assert main(["run", str(file), "--workdir", str(tmp_path / "runs")]) == EXIT_CONFIG
    said = capsys.readouterr().err
    assert "spec.size 13B needs 8 NVIDIA GPUs and this machine has 0" in said
    assert not (tmp_path / "runs").exists()


@pytest.fixture
def _eight_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose driver lists eight GPUs."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nfor i in 0 1 2 3 4 5 6 7; do echo GPU $i: A100; done\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.usefixtures("_eight_gpus")
def test_a_kernel_that_cannot_run_is_known_before_anything_is_prepared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "large.yaml"
    file.write_text(
        "apiVersion: qinstruct.dev/v1alpha1\nkind: QInstructTraining\n"
        "metadata: {name: large}\nspec: {size: 13B, strategy: after}\n"
    )
    assert main(["run", str(file), "--workdir", str(tmp_path / "runs")]) == EXIT_CONFIG
    said = capsys.readouterr().err
    assert said.startswith("qinstruct: spec.training.attention flash_attention_2 cannot run here: ")
    assert said.endswith("; use sdpa or eager, or install what is missing\n")
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("_eight_gpus")
def test_a_kernel_that_can_run_is_taken() -> None:
    check_machine(plan(document(training={"attention": "sdpa"})))
    check_machine(plan(document(size="Tiny")))


@pytest.mark.usefixtures("_eight_gpus")
def test_a_trainer_that_does_not_start_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ConfigError, match=r"trainer that is installed here does not start .*false"):
        check_machine(plan(document()))


def test_a_suspended_run_is_not_begun() -> None:
    with pytest.raises(ConfigError, match=r"spec\.suspend is true, .*; remove it"):
        check_machine(plan(document(size="Tiny", suspend=True)))
