"""An archive of images goes when it is extracted: never before, and it is not fetched again."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from qinstruct_trainer.contract.config import Source
from qinstruct_trainer.contract.errors import StorageError
from qinstruct_trainer.contract.events import Event, PrepWaiting
from qinstruct_trainer.lease import Lease
from qinstruct_trainer.prep import unit_cache
from qinstruct_trainer.prep.gate import RecordFile
from qinstruct_trainer.prep.stages import FinishedUnit, Labels, Stages
from qinstruct_trainer.prep.unit_cache import UnitCache, lease_of, verify
from support.prep.file_server import FaultyServer
from support.prep.miniature import ARCHIVE

# Ends itself, as `kill -9` does, where it would call one function.
PROGRAM = """
import os, signal, sys
from pathlib import Path
from qinstruct_trainer.contract.config import Source
from qinstruct_trainer.prep import unit_cache
from qinstruct_trainer.prep.stages import Labels, Stages

cache, url, name = sys.argv[1:]
vars(unit_cache)[name] = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
units = unit_cache.UnitCache(Path(cache), "run", lambda _: None)
source = Source(name="images", kind="images", url=url)
Stages(units, lambda _: None).images(source, Labels((), ()))
"""


def images_of(server: FaultyServer, name: str = ARCHIVE, into: str = "") -> Source:
    return Source(name="images", kind="images", url=f"{server.url}/{name}", into=into)


class Run:
    """The images' stages of one run of a cache."""

    def __init__(self, folder: Path, name: str = "run", *, keeps: bool = False):
        (folder / name).mkdir(exist_ok=True)  # without it the run would count as deleted
        self.cache = UnitCache(folder / "cache", name, self.report, output=folder / name)
        self.stages = Stages(self.cache, self.report, keeps_archives=keeps)

    def report(self, event: Event) -> None:
        """Nobody reads them."""

    def images(self, source: Source) -> FinishedUnit:
        return self.stages.images(source, Labels((), ()))


def archives(folder: Path) -> list[Path]:
    """The archives in a cache, and whatever is left of one."""
    return sorted((folder / "cache" / "units").glob("*fetch-images-*"))


def test_an_extracted_archive_goes_and_is_not_fetched_again(
    server: FaultyServer, tmp_path: Path
) -> None:
    first = Run(tmp_path).images(images_of(server))
    assert archives(tmp_path) == []
    assert not [*(tmp_path / "cache" / "uses").glob("fetch-*")]
    assert not [*(tmp_path / "cache" / "downloads").iterdir()]
    verify(first.folder)

    for name in ("run", "other"):
        assert Run(tmp_path, name).images(images_of(server)) == first
    assert len(server.ranges) == 1


def test_a_list_of_images_stays(server: FaultyServer, tmp_path: Path) -> None:
    entries = f'{{"one": {{"imageURL": "{server.url}/one.jpg"}}}}'
    (tmp_path / "served" / "dataset.json").write_text(entries)
    records = tmp_path / "labels.json"
    records.write_text("[]")
    labels = Labels((RecordFile(source="labels", path=records),), ("labels",))

    Run(tmp_path).stages.images(images_of(server, "dataset.json", "here"), labels)

    assert [path for path in archives(tmp_path) if (path / "file").is_file()]


@pytest.mark.parametrize("name", ["sync_file_system", "remove_uses", "take_away", "delete_tree"])
def test_killed_between_extraction_and_the_end_of_the_deletion(
    server: FaultyServer, tmp_path: Path, name: str
) -> None:
    arguments = [str(tmp_path / "cache"), images_of(server).url, name]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = archives(tmp_path)
    assert left.name.startswith(".") is (name == "delete_tree")

    unit = Run(tmp_path).images(images_of(server))

    verify(unit.folder)
    assert archives(tmp_path) == []
    assert len(server.ranges) == 1


def test_another_run_keeps_the_archive_until_it_has_extracted_it(
    server: FaultyServer, tmp_path: Path
) -> None:
    other = Run(tmp_path, "other")
    fetched = other.stages.fetch(images_of(server))

    Run(tmp_path).images(images_of(server))
    verify(fetched.folder)
    elsewhere = other.images(images_of(server, into="elsewhere"))

    assert len([*(elsewhere.folder / "files" / "elsewhere").rglob("*.jpg")]) == 12
    assert archives(tmp_path) == []
    assert len(server.ranges) == 1


def test_a_run_that_comes_at_the_last_moment_keeps_the_archive(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Run(tmp_path, "other")

    def come(_: Path) -> None:
        other.stages.fetch(images_of(server))

    monkeypatch.setattr(unit_cache, "sync_file_system", come)
    Run(tmp_path).images(images_of(server))

    (archive,) = archives(tmp_path)
    verify(archive)
    assert len(server.ranges) == 1


def test_a_run_that_waited_for_the_archive_takes_what_was_made_of_it(
    server: FaultyServer, tmp_path: Path
) -> None:
    """It has looked for the images before they were there, and the archive is gone already."""
    made = Run(tmp_path).images(images_of(server))
    aside = made.folder.rename(tmp_path / "aside")
    waiting = Run(tmp_path, "waiting")
    archive = waiting.cache.root / "units" / unit_of_archive(waiting, images_of(server))
    held = Lease.acquire(lease_of(archive), "first")

    class Waiting(Run):
        def report(self, event: Event) -> None:
            if isinstance(event, PrepWaiting):
                aside.rename(made.folder)
                held.release()

    assert Waiting(tmp_path, "waiting").images(images_of(server)) == made
    assert archives(tmp_path) == []
    assert len(server.ranges) == 1


def unit_of_archive(run: Run, source: Source) -> str:
    """The name of the archive's unit, from the leases: nothing else of it is left."""
    (lease, *_) = sorted((run.cache.root / "units" / ".leases").glob(f"fetch-{source.name}-*"))
    return lease.name.rpartition(".")[0]


def test_archives_are_kept_where_that_is_asked_for(server: FaultyServer, tmp_path: Path) -> None:
    Run(tmp_path, "keeps", keeps=True).images(images_of(server))
    (archive,) = archives(tmp_path)

    Run(tmp_path, "other").images(images_of(server))  # the first one has not ended
    verify(archive)
    (tmp_path / "keeps" / "model").mkdir(parents=True)
    Run(tmp_path, "other").images(images_of(server))

    assert archives(tmp_path) == []


def test_a_run_that_keeps_archives_protects_one_that_is_there(
    server: FaultyServer, tmp_path: Path
) -> None:
    first = Run(tmp_path, "first", keeps=True)
    first.images(images_of(server))
    Run(tmp_path, "second", keeps=True).images(images_of(server))
    (tmp_path / "first" / "model").mkdir(parents=True)

    Run(tmp_path, "other").images(images_of(server))

    assert len(archives(tmp_path)) == 1


def test_an_archive_stays_when_its_files_cannot_be_brought_to_the_disk(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(folder))

    monkeypatch.setattr(unit_cache, "sync_file_system", fail)
    with pytest.raises(StorageError, match="Input/output error"):
        Run(tmp_path).images(images_of(server))
    (archive,) = archives(tmp_path)
    verify(archive)
