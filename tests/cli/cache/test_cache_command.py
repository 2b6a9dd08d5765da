"""`qinstruct cache` on caches as prep leaves them, by the trainer as a process of its own."""

import json
import os
from pathlib import Path

import pytest

from qinstruct_operator.cli import main
from qinstruct_trainer.contract.cache import CacheListing
from qinstruct_trainer.contract.errors import EXIT_CONFIG, EXIT_DATA, EXIT_OK
from support.cache.units import IMAGES, LABELS, make, run_folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Of two units, that a run has used which is not complete."""
    make(tmp_path / "cache", LABELS, IMAGES, output=run_folder(tmp_path / "runs/x"))
    return tmp_path / "cache"


def test_ls(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "ls", "--cache", str(cache)]) == EXIT_OK
    said = capsys.readouterr()
    assert said.err == ""
    for unit in (LABELS, IMAGES):
        (line,) = [line for line in said.out.splitlines() if unit.folder_name in line]
        assert "x (unfinished)" in line
        assert "whole, held: run x has not ended" in line
    assert "2 units and 0 others take" in said.out


def test_ls_as_json(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "ls", "--cache", str(cache), "--json"]) == EXIT_OK
    listing = CacheListing.model_validate_json(capsys.readouterr().out)
    assert [entry.item for entry in listing.entries] == ["labels", "images"]


def test_names_that_others_planted_harm_no_terminal(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (cache / "units/\x1b[31mred\nblack[bold]").mkdir()
    (cache / "units" / ("long" * 60)).touch()
    assert main(["cache", "ls", "--cache", str(cache)]) == EXIT_OK
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "red?black[bold]" in said
    assert "long" * 20 not in said
    assert all(line.isprintable() for line in said.splitlines())


def test_verify(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "verify", "--cache", str(cache)]) == EXIT_OK
    assert "2 of 2 units are whole" in capsys.readouterr().out

    file = cache / "units" / LABELS.folder_name / "file"
    before = file.stat()
    file.write_bytes(b"\1" + bytes(999))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert main(["cache", "verify", "--cache", str(cache)]) == EXIT_DATA
    said = capsys.readouterr().out
    assert f"{file} was damaged after it was made" in said
    assert "1 of 2 units are whole" in said
    assert file.exists()


def test_prune_deletes_only_when_it_is_told_to(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prune = ["cache", "prune", "--cache", str(cache), "--unused", "0d"]
    folders = [cache / "units" / unit.folder_name for unit in (LABELS, IMAGES)]

    assert main([*prune, "--yes"]) == EXIT_OK
    assert all(folder.is_dir() for folder in folders)  # run x holds them

    (cache.parent / "runs/x").rmdir()
    assert main(prune) == EXIT_OK
    assert "nothing was deleted, --yes does it" in capsys.readouterr().out
    assert all(folder.is_dir() for folder in folders)

    assert main([*prune, "--keep", "1Gi", "--yes"]) == EXIT_OK
    assert all(folder.is_dir() for folder in folders)

    assert main([*prune, "--unreferenced", "--yes"]) == EXIT_OK
    assert "0 B stay" in capsys.readouterr().out
    assert not any(folder.exists() for folder in folders)


def test_runs_elsewhere_end_when_a_person_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path, LABELS)
    ls = ["cache", "ls", "--cache", str(tmp_path), "--json"]
    for more, state in (
        ([], "unfinished"),
        (["--runs-end-after", "1d"], "unfinished"),
        (["--ended", "y"], "unfinished"),
        (["--ended", "y", "--ended", "x"], "gone"),
        (["--runs-end-after", "0m"], "gone"),
    ):
        assert main([*ls, *more]) == EXIT_OK
        (entry,) = json.loads(capsys.readouterr().out)["entries"]
        assert [run["state"] for run in entry["runs"]] == [state]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["ls"], "no cache of qinstruct: it has no folder units"),
        (["prune"], "prune needs a condition"),
        (["prune", "--unused", "30"], "--unused 30 is no age"),
        (["prune", "--keep", "many"], "--keep many is no size"),
        (["ls", "--runs-end-after", "soon"], "--runs-end-after soon is no age"),
    ],
)
def test_a_mistake_is_one_sentence(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cache", *arguments, "--cache", str(tmp_path / "none")]) == EXIT_CONFIG
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert said.err.startswith("qinstruct: ")
    assert sentence in said.err


def test_export(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export = ["cache", "export", "--cache", str(cache), "-o", str(tmp_path / "copy")]
    assert main([*export, "images"]) == EXIT_OK
    assert f"in {tmp_path / 'copy'}" in capsys.readouterr().out
    assert (tmp_path / "copy/file").stat().st_size == 1000
    assert main([*export, "images"]) == EXIT_CONFIG
    assert "is there already" in capsys.readouterr().err
