"""Unpacking that is killed goes on: nothing that is there is unpacked again, and all ends equal."""

import json
import random
import subprocess
import sys
import zipfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from qinstruct_trainer.prep import member_files
from qinstruct_trainer.prep.unit_cache import verify
from support.prep import unpack_killed
from support.prep.archives import tar_of

pytestmark = pytest.mark.slow

NUM_FILES = 60


def contents(top: str) -> dict[str, bytes]:
    rng = random.Random(3)
    names = (f"{top}{'ab'[number % 2]}/{number}.jpg" for number in range(NUM_FILES))
    return {name: rng.randbytes(rng.randrange(40_000)) for name in names}


def packed(folder: Path, kind: str, files: dict[str, bytes]) -> Path:
    folder.mkdir()
    if kind != "zip":
        return tar_of(folder / "file", files, kind)
    with zipfile.ZipFile(folder / "file", "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in files.items():
            package.writestr(name, content)
    return folder / "file"


def run(archive: Path, folder: Path, *kills: str) -> list[int]:
    command = [sys.executable, unpack_killed.__file__, str(archive), str(folder), *kills]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return [int(line) for line in done.stdout.split()]


def digests(unit: Path) -> object:
    return json.loads((unit / "manifest.json").read_bytes())["files"]


@pytest.mark.parametrize("top", ["", f"{unpack_killed.NAME}/"], ids=["bare", "in a folder"])
@pytest.mark.parametrize("kind", ["w", "w:gz", "zip"])
def test_killed_anywhere_it_goes_on_with_what_is_left(kind: str, top: str, tmp_path: Path) -> None:
    files = contents(top)
    archive = packed(tmp_path / "fetched", kind, files)
    (num_operations,) = run(archive, tmp_path, "0")
    whole = unpack_killed.make_unit(archive, tmp_path / "0")
    assert num_operations > NUM_FILES
    points = random.Random(12).sample(range(1, num_operations - 8), 8)
    points += range(num_operations - 8, num_operations + 1)  # when all is there
    rows = [str(n) if n % 3 else f"{n},{1 + n % 7}" for n in points]
    assert run(archive, tmp_path, *rows) == []
    for row in rows:
        check_that_it_goes_on(archive, tmp_path / row, files, whole)


def check_that_it_goes_on(archive: Path, cache: Path, files: dict[str, bytes], whole: Path) -> None:
    of_name = {Path(name).name: content for name, content in files.items()}
    there = [*cache.glob("units/.extract-*/**/*.jpg")]
    complete = [path for path in there if path.read_bytes() == of_name[path.name]]
    assert len(there) - len(complete) <= member_files._THREADS
    with ExitStack() as held:  # open, so that no other file gets its number
        for path in complete:
            held.enter_context(path.open("rb"))
        before = {path.name: path.stat().st_ino for path in complete}
        unit = unpack_killed.make_unit(archive, cache)
        after = {path.name: path.stat().st_ino for path in unit.rglob("*.jpg")}
    assert before.items() <= after.items(), "one that was there was unpacked again"
    verify(unit)
    assert digests(unit) == digests(whole)
    assert {path.relative_to(unit) for path in unit.rglob("*")} == {
        path.relative_to(whole) for path in whole.rglob("*")
    }
    assert [path.name for path in cache.glob("units/.*")] == [".leases"]
