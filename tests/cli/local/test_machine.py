"""What this machine cannot run is refused before anything is written."""

from pathlib import Path

import pytest

from qinstruct_operator.cli import main
from qinstruct_trainer.contract.errors import EXIT_CONFIG


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
