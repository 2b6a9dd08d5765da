"""A cache that was copied is used: after one look at its bytes where the copy lost their times."""

import logging
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from qinstruct_trainer.contract.config import ModelSource, PrepConfig, Source
from qinstruct_trainer.contract.events import Event, PrepProgress
from qinstruct_trainer.durable_files import sha256_of
from qinstruct_trainer.prep import unit_cache, unit_manifest
from qinstruct_trainer.prep.run import run_prep
from qinstruct_trainer.prep.unit_cache import UnitCache, is_whole, verify
from qinstruct_trainer.prep.unit_manifest import Unit
from support.prep.miniature import write_miniature

UNIT = Unit("extract", "images", ("1",))
FILES: Final = {"files/a/1": b"one", "files/a/2": b"two", "files/3": b"three"}
Copy = Callable[[Path, Path], object]


def fill(folder: Path) -> None:
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def fail(_: Path) -> None:
    raise AssertionError("it was built again")


def shell(command: str) -> Copy:
    return lambda cache, to: subprocess.run(command.format(cache, to), shell=True, check=True)


def moved_by(seconds: float) -> Copy:
    """As by a file system that rounds times, or has those of another time zone."""

    def copy(cache: Path, to: Path) -> None:
        shutil.copytree(cache, to)
        for path in to.rglob("*"):
            time = path.stat().st_mtime + seconds
            os.utime(path, (time, time))

    return copy


KEEPS_TIMES: Final[dict[str, Copy]] = {
    "cp -a": shell("cp -a {} {}"),
    "cp -rp": shell("cp -rp {} {}"),
    "mv": shell("mv {} {}"),
    "tar": shell("mkdir {1} && tar -C {0} -cf - . | tar -C {1} -xf -"),
    "a copy of Python's": shutil.copytree,
}
LOSES_THEM: Final[dict[str, Copy]] = {
    "cp -r": shell("cp -r {} {}"),
    "tar without times": shell("mkdir {1} && tar -C {0} -cf - . | tar -C {1} -xmf -"),
    "a time zone off": moved_by(3600),
    "rounded": moved_by(0.5),
}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    UnitCache(tmp_path / "cache", "x", lambda _: None).get(UNIT, fill)
    return tmp_path / "cache"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of files whose digests were made, other than those of a sample."""
    names: list[str] = []

    def note(path: Path) -> str:
        names.append(path.name)
        return sha256_of(path)

    monkeypatch.setattr(unit_manifest, "sha256_of", note)
    monkeypatch.setattr(unit_cache, "_SAMPLE_BYTES", 0)
    return names


def use(cache: Path) -> Path:
    return UnitCache(cache, "y", lambda _: None).get(UNIT, fail)


@pytest.mark.parametrize("copy", KEEPS_TIMES.values(), ids=KEEPS_TIMES)
def test_a_copy_with_its_times_is_used_as_it_is(
    copy: Copy, cache: Path, tmp_path: Path, read: list[str]
) -> None:
    copy(cache, tmp_path / "copy")
    use(tmp_path / "copy")
    assert read == []


@pytest.mark.parametrize("copy", LOSES_THEM.values(), ids=LOSES_THEM)
def test_a_copy_without_them_is_read_once(
    copy: Copy, cache: Path, tmp_path: Path, read: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    copy(cache, tmp_path / "copy")
    with caplog.at_level(logging.WARNING):
        folder = use(tmp_path / "copy")
    assert sorted(read) == ["1", "2", "3"]
    assert [record.getMessage() for record in caplog.records] == [
        f"{UNIT.folder_name}: 3 files have other times than they were given, as copies have; "
        "their 11 bytes are read once, and compared with their digests"
    ]
    assert {name: (folder / name).read_bytes() for name in FILES} == FILES
    use(tmp_path / "copy")
    assert len(read) == 3


@pytest.mark.parametrize("copy", LOSES_THEM.values(), ids=LOSES_THEM)
@pytest.mark.parametrize("harm", ["a byte", "cut", "gone", "more"])
def test_a_copy_that_went_wrong_is_made_again(
    harm: str, copy: Copy, cache: Path, tmp_path: Path, read: list[str]
) -> None:
    copy(cache, tmp_path / "copy")
    folder = tmp_path / "copy/units" / UNIT.folder_name
    file = folder / "files/a/2"
    match harm:
        case "a byte":
            file.write_bytes(b"twO")
        case "cut":
            file.write_bytes(b"tw")
        case "gone":
            file.unlink()
        case "more":
            (folder / "files/4").touch()
    assert not is_whole(folder, UNIT)
    UnitCache(tmp_path / "copy", "y", lambda _: None).get(UNIT, fill)
    verify(folder)
    assert file.read_bytes() == b"two"


def test_a_copy_of_somebody_elses_is_read_each_time(
    cache: Path, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    shell("cp -r {} {}")(cache, tmp_path / "copy")
    with monkeypatch.context() as patch:
        patch.setattr(os, "utime", refuse)
        use(tmp_path / "copy")
    use(tmp_path / "copy")
    assert len(read) == 6


def test_a_run_on_a_copied_cache_fetches_and_decodes_nothing_again(tmp_path: Path) -> None:
    made = write_miniature(tmp_path / "data")
    events: list[Event] = []

    def prepare(cache: Path) -> None:
        sources = (
            Source(name="labels", kind="labels", url=made.labels.as_uri()),
            Source(name="images", kind="images", url=made.archive.as_uri()),
        )
        config = PrepConfig(
            run="run",
            cache=cache,
            output=tmp_path / "output",
            sources=sources,
            model=ModelSource(kind="tiny"),
            max_length=512,
            seed=0,
        )
        run_prep(config, events.append)

    prepare(tmp_path / "cache")
    shell("cp -r {} {}")(tmp_path / "cache", tmp_path / "copy")
    events.clear()
    prepare(tmp_path / "copy")

    done = [event for event in events if isinstance(event, PrepProgress)]
    anew = {(event.stage, event.item) for event in done if not event.cached}
    assert anew == {("pixels", "table"), ("index", "records")}  # they hold the cache's path
