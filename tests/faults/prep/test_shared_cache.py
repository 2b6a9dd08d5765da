"""Others write into the shared cache: what they plant is not used, followed or overwritten."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from qinstruct_trainer.contract.config import Source
from qinstruct_trainer.contract.errors import DataError, StorageError
from qinstruct_trainer.durable_files import write_durably
from qinstruct_trainer.lease import Lease
from qinstruct_trainer.prep import unit_cache, unit_manifest
from qinstruct_trainer.prep.progress import Progress
from qinstruct_trainer.prep.sources.http import fetch
from qinstruct_trainer.prep.stages import Stages
from qinstruct_trainer.prep.unit_cache import UnitCache, is_whole, verify
from qinstruct_trainer.prep.unit_manifest import Unit
from support.prep.file_server import serve

UNIT = Unit("fetch", "labels", ("https://host/file", "1"))
OTHER = Unit("fetch", "labels", ("https://evil/file", "1"))


def fill(folder: Path) -> None:
    (folder / "below").mkdir()
    (folder / "below" / "one").write_bytes(b"one")
    (folder / "two").write_bytes(b"two")


def cache_at(path: Path) -> UnitCache:
    return UnitCache(path, "run", lambda _: None)


def same_size(folder: Path, _: Path) -> None:
    (folder / "two").write_bytes(b"evl")


def same_size_and_time(folder: Path, _: Path) -> None:
    before = (folder / "two").stat()
    (folder / "two").write_bytes(b"evl")
    os.utime(folder / "two", ns=(before.st_atime_ns, before.st_mtime_ns))


def linked_file(folder: Path, aside: Path) -> None:
    (folder / "two").rename(aside / "two")
    (folder / "two").symlink_to(aside / "two")


def linked_folder(folder: Path, aside: Path) -> None:
    (folder / "below").rename(aside / "below")
    (folder / "below").symlink_to(aside / "below")


def linked_unit(folder: Path, aside: Path) -> None:
    folder.rename(aside / "unit")
    folder.symlink_to(aside / "unit")


def another_file(folder: Path, _: Path) -> None:
    (folder / "generation_config.json").write_text("{}")


def a_pipe(folder: Path, _: Path) -> None:
    os.mkfifo(folder / "pipe")


def a_pipe_as_manifest(folder: Path, _: Path) -> None:
    (folder / "manifest.json").unlink()
    os.mkfifo(folder / "manifest.json")


def a_manifest_without_an_end(folder: Path, _: Path) -> None:
    """It has holes: it takes no room, but memory where it is read."""
    os.truncate(folder / "manifest.json", 200 << 20)


def a_manifest_nested_without_an_end(folder: Path, _: Path) -> None:
    (folder / "manifest.json").write_text('{"files":' + "[" * 10**6)


def a_manifest_with_endless_numbers(folder: Path, _: Path) -> None:
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text.replace('"bytes":3', '"bytes":' + "3" * 10**6))


def a_file_in_its_place(folder: Path, aside: Path) -> None:
    folder.rename(aside / "unit")
    folder.write_bytes(b"")


def of_another_key(folder: Path, aside: Path) -> None:
    made = cache_at(aside).get(OTHER, fill)
    shutil.rmtree(folder)
    made.rename(folder)


def path_outside(folder: Path, aside: Path) -> None:
    (aside / "two").write_bytes(b"two")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][1]["path"] = str(aside / "two")
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    "harm",
    [
        same_size,
        same_size_and_time,
        linked_file,
        linked_folder,
        linked_unit,
        another_file,
        a_pipe,
        a_pipe_as_manifest,
        a_manifest_without_an_end,
        a_manifest_nested_without_an_end,
        a_manifest_with_endless_numbers,
        a_file_in_its_place,
        of_another_key,
        path_outside,
    ],
)
def test_a_unit_that_somebody_changed_is_built_again(
    harm: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    aside = tmp_path / "aside"
    aside.mkdir()
    cache = cache_at(tmp_path / "cache")
    folder = cache.get(UNIT, fill)
    assert is_whole(folder, UNIT)
    harm(folder, aside)
    kept = sorted(path.name for path in aside.rglob("*"))
    assert not is_whole(folder, UNIT)
    assert cache.get(UNIT, fill) == folder
    verify(folder)
    assert not folder.is_symlink()
    assert (folder / "two").read_bytes() == b"two"
    assert sorted(path.name for path in aside.rglob("*")) == kept  # nothing of it was deleted


def test_a_file_too_large_for_the_sample_is_told_by_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit_cache, "_SAMPLE_BYTES", 0)
    folder = cache_at(tmp_path).get(UNIT, fill)
    assert is_whole(folder, UNIT)
    (folder / "two").write_bytes(b"evl")
    assert not is_whole(folder, UNIT)


def test_a_unit_of_an_earlier_version_is_still_used(tmp_path: Path) -> None:
    folder = cache_at(tmp_path).get(UNIT, fill)
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["mtime_ns"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    os.utime(folder / "two")
    assert is_whole(folder, UNIT)


def test_a_unit_is_written_by_its_owner_alone(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; os.umask(0)\n"
        "from qinstruct_trainer.prep.unit_cache import UnitCache\n"
        "from qinstruct_trainer.prep.unit_manifest import Unit\n"
        "def fill(folder):\n    (folder / 'd').mkdir(); (folder / 'd' / 'f').write_bytes(b'1')\n"
        "print(UnitCache(Path(sys.argv[1]), 'run', lambda _: None).get("
        "Unit('fetch', 'x', ()), fill))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True, text=True
    )
    folder = Path(done.stdout.strip())
    modes = {path.name: path.stat().st_mode & 0o777 for path in [folder, *folder.rglob("*")]}
    assert modes == {folder.name: 0o755, "d": 0o755, "f": 0o644, "manifest.json": 0o644}


@pytest.mark.parametrize("what", ["dangling", "file", "pipe"])
def test_a_durable_write_follows_nothing_planted(what: str, tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "notes"
    planted = tmp_path / f".notes.{os.getpid()}"
    if what == "file":
        victim.write_text("precious")
    if what == "pipe":
        os.mkfifo(planted)
    else:
        planted.symlink_to(victim)
    write_durably(path, "new")
    assert path.read_text() == "new"
    assert not path.is_symlink()
    assert (victim.read_text() if victim.exists() else None) == (
        "precious" if what == "file" else None
    )


@pytest.mark.parametrize("how", ["symlink", "dangling", "hard link"])
def test_a_download_is_not_written_through_a_planted_name(how: str, tmp_path: Path) -> None:
    served, downloads, victim = tmp_path / "served", tmp_path / "downloads", tmp_path / "victim"
    served.mkdir()
    downloads.mkdir()
    (served / "file").write_bytes(b"[1, 2, 3, 4, 5]")
    partial = downloads / "part"
    if how != "dangling":
        victim.write_bytes(b"precious")
    if how == "hard link":
        partial.hardlink_to(victim)
    else:
        partial.symlink_to(victim)
    with serve(served) as server:
        source = Source(name="labels", kind="labels", url=f"{server.url}/file")
        notes = {"url": source.url, "validator": '"one"', "total": None}
        (downloads / "part.json").write_text(json.dumps(notes))
        fetch(source, partial, Progress(lambda _: None, "fetch", "labels", "bytes"))
    assert partial.read_bytes() == b"[1, 2, 3, 4, 5]"
    assert not partial.is_symlink()
    if how == "dangling":
        assert not victim.exists()
    else:
        assert victim.read_bytes() == b"precious"


@pytest.mark.parametrize("how", ["dangling", "to a file", "pipe", "odd number"])
def test_a_planted_lease_is_not_waited_for_for_ever(how: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    planted = tmp_path / ("lease.007" if how == "odd number" else "lease.1")
    if how == "to a file":
        victim.write_bytes(b"precious")
    if how == "pipe":
        os.mkfifo(planted)
    elif how == "odd number":
        planted.write_bytes(b"")
    else:
        planted.symlink_to(victim)
    with Lease.acquire(tmp_path / "lease", "me", stale_seconds=0.2, poll_seconds=0.05) as lease:
        lease.check()
    assert victim.exists() == (how == "to a file")
    if how == "to a file":
        assert victim.read_bytes() == b"precious"


def test_a_users_own_file_is_copied(tmp_path: Path) -> None:
    own = tmp_path / "labels.json"
    own.write_text("[1, 2]")
    source = Source(name="labels", kind="labels", url=own.as_uri())
    unit = Stages(cache_at(tmp_path / "cache"), lambda _: None).fetch(source)
    with own.open("r+") as file:
        file.write("[3")
    assert (unit.folder / "file").read_text() == "[1, 2]"
    assert own.stat().st_nlink == 1


def test_a_unit_with_folders_without_an_end_is_a_sentence(tmp_path: Path) -> None:
    cache = cache_at(tmp_path / "cache")
    folder = cache.get(UNIT, fill)
    inner = "/".join("a" * 1500)
    subprocess.run(["mkdir", "-p", inner], cwd=folder, check=True)
    try:
        assert not is_whole(folder, UNIT)
        with pytest.raises(StorageError, match="nested too deeply"):
            cache.get(UNIT, fill)
    finally:
        subprocess.run(["rm", "-r", folder], check=True)
    assert cache.get(UNIT, fill) == folder


def test_a_manifest_is_read_to_its_bound_and_written_to_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = cache_at(tmp_path)
    folder = cache.get(UNIT, fill)
    size = (folder / "manifest.json").stat().st_size
    monkeypatch.setattr(unit_manifest, "_MAX_MANIFEST_BYTES", size - 1)
    assert not is_whole(folder, UNIT)
    with pytest.raises(DataError, match="so many files, or such long names"):
        cache.get(UNIT, fill)
    assert not [path for path in folder.parent.iterdir() if path.name != ".leases"]
    monkeypatch.setattr(unit_manifest, "_MAX_MANIFEST_BYTES", size)
    assert is_whole(cache.get(UNIT, fill), UNIT)
