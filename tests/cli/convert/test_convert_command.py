"""`qinstruct convert`: a finished model for the tools of the original LLaVA, in one command."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from qinstruct_operator.cli import main
from qinstruct_operator.cli.convert.convert_command import why_not_loaded
from qinstruct_trainer.contract.errors import EXIT_CONFIG, EXIT_DATA, EXIT_OK
from qinstruct_trainer.model.tensors import open_checkpoint
from support.model.checkpoints import build, original

pytestmark = pytest.mark.slow  # two interpreters, of which one imports torch


def convert(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "qinstruct_operator", "convert", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_it_writes_the_layout_and_refuses_to_write_over_it(tmp_path: Path) -> None:
    hub = build(original(tmp_path, tower=True), tmp_path / "hub")
    folder = tmp_path / "my-llava-v1.5-7b"
    tower = ("--vision-tower", str(tmp_path / "clip"))

    done = convert(str(hub), str(folder), *tower, "--without-tower")

    assert (done.returncode, done.stderr) == (EXIT_OK, "")
    *progress, last = done.stdout.splitlines()
    assert progress == ["model my-llava-v1.5-7b: 87.4 kB of 87.4 kB"]
    assert last.startswith(f"{folder} holds the model in the layout of the original LLaVA (")
    assert json.loads((folder / "config.json").read_text())["mm_vision_tower"] == tower[1]
    names = {tensor.name for tensor in open_checkpoint(folder)}
    assert "model.mm_projector.0.weight" in names
    assert not [name for name in names if "vision_tower" in name]

    again = convert(str(hub), str(folder), *tower)
    assert (again.returncode, again.stdout) == (EXIT_CONFIG, "")
    assert again.stderr == f"qinstruct: {folder} is there already; name a new folder\n"


def test_a_name_that_llava_does_not_take_for_its_own_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub = build(original(tmp_path, tower=True), tmp_path / "hub")
    tower = f"--vision-tower={tmp_path / 'clip'}"
    assert main(["convert", str(hub), str(tmp_path / "mine"), tower]) == EXIT_OK
    assert f"rename {tmp_path}/mine before LLaVA loads it" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("my-LLaVA", None),
        ("llava-run/checkpoint-7", None),
        ("mine", "it looks for `llava` in the name"),
        ("llava/mine", "it looks for `llava` in the name"),
        ("mine/checkpoint-7", "it looks for `llava` in the name"),
        ("llava-prompted", "it takes a name with `mpt` in it for that kind of model"),
        ("Mistral/checkpoint-llava", "it takes a name with `mistral` in it for that kind of model"),
    ],
)
def test_what_llava_makes_of_a_name(name: str, why: str | None) -> None:
    assert why_not_loaded(Path("/models", name)) == why


@pytest.mark.parametrize(
    ("model", "code", "words"),
    [
        ("none", EXIT_CONFIG, "is not there; give a finished model's folder"),
        (".", EXIT_DATA, "has no readable config.json"),
    ],
)
def test_a_mistake_is_one_sentence(
    model: str, code: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", str(tmp_path / model), str(tmp_path.parent / "llava")]) == code
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert words in said.err
