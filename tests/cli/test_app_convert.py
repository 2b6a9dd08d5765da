"""`qinstruct convert`: a finished model for the tools of the original LLaVA, in one command."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from qinstruct_trainer.contract.errors import EXIT_CONFIG, EXIT_OK
from qinstruct_trainer.model.tensors import open_checkpoint
from support.model.checkpoints import build, original

pytestmark = pytest.mark.slow  # two interpreters, of which one imports torch


def convert(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "qinstruct_operator", "convert", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_writes_the_layout_and_refuses_to_write_over_it(tmp_path: Path) -> None:
    hub = build(original(tmp_path, tower=True), tmp_path / "hub")
    folder = tmp_path / "my-llava-v1.5-7b"

    done = convert(str(hub), str(folder), "--vision-tower", "me/clip", "--without-tower")

    assert done.returncode == EXIT_OK, done.stderr
    assert done.stderr.endswith(f"{folder} holds the model in the layout of the original LLaVA\n")
    assert json.loads((folder / "config.json").read_text())["mm_vision_tower"] == "me/clip"
    names = {tensor.name for tensor in open_checkpoint(folder)}
    assert "model.mm_projector.0.weight" in names
    assert not [name for name in names if "vision_tower" in name]

    again = convert(str(hub), str(folder))
    assert again.returncode == EXIT_CONFIG
    assert f"{folder} is there already; name a new folder" in again.stderr


def test_a_name_that_llava_does_not_take_for_its_own_is_told(tmp_path: Path) -> None:
    hub = build(original(tmp_path, tower=True), tmp_path / "hub")
    done = convert(str(hub), str(tmp_path / "mine"))
    assert done.returncode == EXIT_OK
    assert f"rename {tmp_path}/mine before LLaVA loads it" in done.stderr
