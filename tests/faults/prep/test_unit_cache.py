"""The unit cache: built once, whole or not there."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from qinstruct_trainer.contract.config import Source
from qinstruct_trainer.contract.errors import (
    DataError,
    OutputBusyError,
    RunError,
    Stopped,
    StorageError,
)
from qinstruct_trainer.contract.events import Event, PrepProgress, PrepWaiting
from qinstruct_trainer.prep.progress import Progress
from qinstruct_trainer.prep.sources.http import fetch
from qinstruct_trainer.prep.unit_cache import UnitCache, is_whole, verify
from qinstruct_trainer.prep.unit_manifest import Unit, WrittenFile
from support.cache.units import no_events
from support.prep.file_server import serve
from support.syncs import note_syncs

UNIT = Unit("fetch", "q-instruct labels", ("http://host/file", "1"))

FILL = """
import resource, sys
from pathlib import Path
from qinstruct_trainer.contract.errors import StorageError
from qinstruct_trainer.prep.unit_cache import UnitCache
from qinstruct_trainer.prep.unit_manifest import Unit
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
try:
    UnitCache(Path(sys.argv[1]), "run", print).get(
        Unit("fetch", "big", ()), lambda folder: (folder / "file").write_bytes(bytes(1 << 20))
    )
except StorageError as error:
    print(error)
"""


def fill(folder: Path) -> None:
    (folder / "below").mkdir()
    (folder / "below" / "one").write_bytes(b"one")
    (folder / "two").write_bytes(b"")


def cache_at(path: Path) -> UnitCache:
    return UnitCache(path, "run", no_events)


def leftovers(cache: Path) -> list[str]:
    return [path.name for path in (cache / "units").iterdir() if path.name != ".leases"]


def test_unit_is_built_once(tmp_path: Path) -> None:
    events: list[Event] = []
    cache = UnitCache(tmp_path, "run", events.append)
    folder = cache.get(UNIT, fill)
    assert cache.get(UNIT, lambda _: pytest.fail("built again")) == folder
    assert (folder / "below" / "one").read_bytes() == b"one"
    assert folder.name == f"fetch-q-instruct-labels-{UNIT.key}"
    assert [event.cached for event in events if isinstance(event, PrepProgress)] == [True]
    verify(folder)


@pytest.mark.parametrize(
    "other",
    [
        Unit("extract", "q-instruct labels", ("http://host/file", "1")),
        Unit("fetch", "q-instruct", ("http://host/file", "1")),
        Unit("fetch", "q-instruct labels", ("http://host/file", "2")),
        Unit("fetch", "q-instruct labels", ("http://host/file1", "")),
        Unit("fetch", "q-instruct labels", ("http://host/file", "1", "")),
    ],
)
def test_any_difference_makes_another_unit(other: Unit) -> None:
    assert other.key != UNIT.key


def test_name_of_an_item_is_a_safe_file_name() -> None:
    assert Unit("model", "../a/b c", ()).folder_name.startswith("model-a-b-c-")
    assert Unit("model", "/", ()).folder_name.startswith("model-item-")


def test_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        fill(folder)
        raise DataError("bad archive")

    with pytest.raises(DataError, match="bad archive"):
        cache_at(tmp_path).get(UNIT, fail)
    assert leftovers(tmp_path) == []
    cache_at(tmp_path).get(UNIT, fill)


def test_leftover_of_a_killed_builder_is_swept(tmp_path: Path) -> None:
    building = tmp_path / "units" / f".{UNIT.folder_name}.building"
    building.mkdir(parents=True)
    (building / "half").write_bytes(b"half")
    folder = cache_at(tmp_path).get(UNIT, fill)
    assert leftovers(tmp_path) == [folder.name]
    assert not (folder / "half").exists()


@pytest.mark.parametrize("harm", ["file gone", "file cut", "manifest gone", "manifest cut"])
def test_damaged_unit_is_built_again(tmp_path: Path, harm: str) -> None:
    cache = cache_at(tmp_path)
    folder = cache.get(UNIT, fill)
    path = folder / ("manifest.json" if "manifest" in harm else "below/one")
    if "gone" in harm:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    assert not is_whole(folder, UNIT)
    assert cache.get(UNIT, fill) == folder
    verify(folder)


def test_changed_byte_is_found_by_the_digest(tmp_path: Path) -> None:
    folder = cache_at(tmp_path).get(UNIT, fill)
    path = folder / "below" / "one"
    times = path.stat()
    path.write_bytes(b"eno")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert not is_whole(folder, UNIT)  # it is small enough for the sample
    with pytest.raises(DataError, match="damaged"):
        verify(folder)


def test_two_runs_build_a_unit_once(tmp_path: Path) -> None:
    builds: list[str] = []
    events: list[Event] = []
    building, waiting = threading.Event(), threading.Event()

    def build(folder: Path) -> None:
        builds.append("first")
        building.set()
        assert waiting.wait(60)  # the second run stands in front of the lease
        fill(folder)

    def record(event: Event) -> None:
        events.append(event)
        if isinstance(event, PrepWaiting):
            waiting.set()

    first = threading.Thread(
        target=UnitCache(tmp_path, "first-run", no_events).get, args=(UNIT, build)
    )
    first.start()
    assert building.wait(60)

    def build_again(folder: Path) -> None:
        builds.append("second")
        fill(folder)

    folder = UnitCache(tmp_path, "second-run", record).get(UNIT, build_again)
    first.join()
    assert builds == ["first"]
    assert [event.owner for event in events if isinstance(event, PrepWaiting)] == ["first-run"]
    verify(folder)


def test_a_builder_that_has_lost_its_lease_publishes_nothing(tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        fill(folder)
        leases = tmp_path / "units" / ".leases"
        (leases / f"{UNIT.folder_name}.2").touch()  # as a process does that takes the lease over

    with pytest.raises(OutputBusyError, match="taken over"):
        cache_at(tmp_path).get(UNIT, build)
    assert leftovers(tmp_path) == []


def test_a_unit_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = tmp_path / "units"
    syncs = note_syncs(monkeypatch, units / UNIT.folder_name)
    cache_at(tmp_path).get(UNIT, fill)
    building = units / f".{UNIT.folder_name}.building"
    # Of the files only their list: a unit whose sizes do not fit is built again.
    assert {path.parent for path in syncs.before if "manifest.json" in path.name} == {building}
    assert building in syncs.before
    assert syncs.after == {units}


def test_file_limit_is_a_storage_error(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FILL, str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.startswith("the disk is full at")
    assert leftovers(tmp_path) == []


def test_full_disk_in_the_middle_of_a_build(small_disk: Path) -> None:
    def overfill(folder: Path) -> None:
        (folder / "file").write_bytes(bytes(2 << 20))

    cache = cache_at(small_disk)
    with pytest.raises(StorageError, match="the disk is full"):
        cache.get(UNIT, overfill)
    assert leftovers(small_disk) == []
    cache.get(UNIT, fill)


def test_download_that_cannot_fit_is_refused_first(small_disk: Path, tmp_path: Path) -> None:
    served = tmp_path / "served"
    served.mkdir()
    (served / "file").write_bytes(bytes(2 << 20))
    with serve(served) as server:
        source = Source(name="labels", kind="labels", url=f"{server.url}/file")
        progress = Progress(no_events, "fetch", "labels", "bytes")
        with pytest.raises(StorageError, match=r"needs 2,097,152 bytes"):
            fetch(source, small_disk / "part", progress)
    assert not (small_disk / "part").exists()


def test_what_a_build_says_of_its_files_is_not_read_again(tmp_path: Path) -> None:
    def build(folder: Path) -> dict[str, WrittenFile]:
        fill(folder)
        return {"below/one": WrittenFile(3, "0" * 64)}

    folder = cache_at(tmp_path).get(UNIT, build)
    with pytest.raises(DataError, match=r"below/one was damaged"):
        verify(folder)


@pytest.mark.parametrize("said", [{"below/one": 4}, {"below/one": 3, "gone": 1}], ids=str)
def test_a_file_that_is_not_as_it_was_written_is_told(said: dict[str, int], tmp_path: Path) -> None:
    def build(folder: Path) -> dict[str, WrittenFile]:
        fill(folder)
        return {name: WrittenFile(size, "0" * 64) for name, size in said.items()}

    with pytest.raises(StorageError, match=r"was written with \d bytes and is not there so"):
        cache_at(tmp_path).get(UNIT, build)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("error", "stays"),
    [
        (Stopped("stopped"), True),
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (DataError("bad archive"), False),
    ],
    ids=["stopped", "full disk", "bad data"],
)
def test_what_resumes_is_kept_unless_its_input_is_bad(
    error: Exception, stays: bool, tmp_path: Path
) -> None:
    def fail(folder: Path) -> None:
        fill(folder)
        raise error

    with pytest.raises(RunError):
        cache_at(tmp_path).get(UNIT, fail, resumes=True)

    there: list[str] = []

    def look(folder: Path) -> dict[str, WrittenFile]:
        there.extend(path.name for path in folder.rglob("*") if path.is_file())
        return {}

    cache_at(tmp_path).get(UNIT, look, resumes=True)
    assert sorted(there) == (["one", "two"] if stays else [])


def test_what_others_planted_where_it_resumes_is_gone(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    fill_folder = elsewhere / "deep"
    fill_folder.mkdir(parents=True)
    (fill_folder / "theirs").write_bytes(b"theirs")
    building = tmp_path / "units" / f".{UNIT.folder_name}.building"
    building.mkdir(parents=True)
    (building / "link").symlink_to(fill_folder / "theirs")
    (building / "below").symlink_to(fill_folder)
    (building / "two").hardlink_to(fill_folder / "theirs")
    os.mkfifo(building / "pipe")
    (building / "not named").write_bytes(b"x")

    def build(folder: Path) -> dict[str, WrittenFile]:
        assert [path.name for path in folder.iterdir()] == ["not named"]
        fill(folder)
        return {"two": WrittenFile(0, "0" * 64)}

    folder = cache_at(tmp_path).get(UNIT, build, resumes=True)
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert names == {"two", "manifest.json"}, "what the build does not name is in the unit"
    assert (fill_folder / "theirs").read_bytes() == b"theirs"


@pytest.mark.parametrize("kind", ["link", "file"])
def test_nothing_is_built_through_what_stands_in_its_place(kind: str, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    building = tmp_path / "units" / f".{UNIT.folder_name}.building"
    building.parent.mkdir()
    if kind == "link":
        building.symlink_to(elsewhere)
    else:
        building.write_bytes(b"")
    cache_at(tmp_path).get(UNIT, fill, resumes=True)
    assert [*elsewhere.iterdir()] == []
