"""What a run's folder refuses: other values than it began with, and no place to write."""

import subprocess
import sys
from pathlib import Path

import pytest

from qinstruct_operator.api.parse import parse
from qinstruct_operator.cli import main
from qinstruct_operator.cli.local.folder import RunFolder
from qinstruct_operator.core.plan.make import make_plan
from qinstruct_operator.core.plan.types import Plan
from qinstruct_operator.settings import Settings
from qinstruct_trainer.contract.errors import EXIT_STORAGE, ConfigError


def tiny(folder: Path, **spec: object) -> Plan:
    document = {
        "apiVersion": "qinstruct.dev/v1alpha1",
        "kind": "QInstructTraining",
        "metadata": {"name": "tiny"},
        "spec": {"size": "Tiny", "strategy": "after"} | spec,
    }
    return make_plan(parse(document), Settings(cache_path=folder / "cache", output_path=folder))


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "tiny")


def begin(folder: RunFolder, plan: Plan, *, trained: bool) -> None:
    folder.write_configs(plan.prep_config, plan.run_config)
    if trained:
        (folder.root / "checkpoints").mkdir()


REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "another rate": (
        {"training": {"learningRate": 0.5}},
        ", and the file now says 0.5",
    ),
    "another seed": ({"training": {"seed": 7}}, "seed 42, and the file now says 7"),
    "another attention": (
        {"training": {"attention": "eager"}},
        "attention 'sdpa', and the file now says 'eager'",
    ),
    "another strategy": ({"strategy": "mix"}, "strategy 'after', and the file now says 'mix'"),
}


@pytest.mark.parametrize(("spec", "expected"), REFUSED.values(), ids=REFUSED)
def test_other_values_than_a_training_began_with(
    folder: RunFolder, spec: dict[str, object], expected: str
) -> None:
    begin(folder, tiny(folder.root), trained=True)
    other = tiny(folder.root, **spec)
    with pytest.raises(ConfigError, match="holds a training that began with") as refusal:
        folder.check_same_run(other.prep_config, other.run_config)
    assert expected in str(refusal.value)
    assert "give the run another metadata.name" in str(refusal.value)


def test_other_sources_name_the_source(folder: RunFolder) -> None:
    def spec(digest: str) -> dict[str, object]:
        source = {"url": "https://example.org/x", "sha256": digest * 64}
        return {"sources": {"q-instruct-labels": source, "q-instruct-images": source}}

    begin(folder, tiny(folder.root, data=spec("a")), trained=True)
    other = tiny(folder.root, data=spec("b"))
    with pytest.raises(ConfigError, match=r"began with sources\[0\]\.sha256 'aaa"):
        folder.check_same_run(other.prep_config, other.run_config)


def test_tokens_of_addresses_are_compared_but_neither_told_nor_readable_to_others(
    folder: RunFolder,
) -> None:
    def spec(token: str) -> dict[str, object]:
        source = {"url": f"https://example.org/x?token={token}"}
        return {"sources": {"q-instruct-labels": source, "q-instruct-images": source}}

    begin(folder, tiny(folder.root, data=spec("s3cret")), trained=True)
    assert folder.prep_config.stat().st_mode & 0o077 == 0
    other = tiny(folder.root, data=spec("an0ther"))
    with pytest.raises(ConfigError, match=r"url 'https://example\.org/x#sha256=\w+'") as refusal:
        folder.check_same_run(other.prep_config, other.run_config)
    assert "s3cret" not in str(refusal.value)
    assert "an0ther" not in str(refusal.value)


def test_what_may_change(folder: RunFolder) -> None:
    begin(folder, tiny(folder.root), trained=True)
    moved = tiny(
        folder.root / "elsewhere",
        checkpoint={"everyMinutes": 9},
        training={"activationCheckpointing": True},
    )
    assert moved.run_config.activation_checkpointing
    folder.check_same_run(moved.prep_config, moved.run_config)


def test_everything_may_change_before_training_begins(folder: RunFolder) -> None:
    begin(folder, tiny(folder.root), trained=False)
    other = tiny(folder.root, strategy="mix")
    folder.check_same_run(other.prep_config, other.run_config)
    folder.write_configs(other.prep_config, other.run_config)
    assert '"mix"' in folder.run_config.read_text()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(
        "apiVersion: qinstruct.dev/v1alpha1\nkind: QInstructTraining\n"
        "metadata: {name: tiny}\nspec: {size: Tiny, strategy: after}\n"
    )
    return path


def test_a_workdir_that_is_a_file(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(file), "--workdir", str(file)]) == EXIT_STORAGE
    said = capsys.readouterr().err
    assert "cannot be written: Not a directory; " in said
    assert said.count("\n") == 1


@pytest.mark.skipif(not Path("/proc/sys").is_dir(), reason="needs a folder that root cannot write")
def test_a_workdir_that_cannot_be_made(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(file), "--workdir", "/proc/sys/runs"]) == EXIT_STORAGE
    assert "choose another folder with --workdir" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_standard_output(file: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "qinstruct_operator", "render", str(file)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == EXIT_STORAGE
    assert done.stderr == "qinstruct: standard output cannot be written: No space left on device\n"
