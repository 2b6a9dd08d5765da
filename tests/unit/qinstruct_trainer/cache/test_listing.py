"""What is told of a cache, and of what others planted there."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from qinstruct_trainer.cache import listing
from qinstruct_trainer.cache.listing import Found, list_cache
from qinstruct_trainer.contract.errors import ConfigError
from qinstruct_trainer.lease import Lease
from qinstruct_trainer.prep import unit_manifest
from qinstruct_trainer.prep.unit_cache import lease_of
from qinstruct_trainer.prep.unit_manifest import Walked, walk
from support.cache.units import IMAGES, LABELS, make, run_folder, unit

NOW = 4e9


def by_name(cache: Path) -> dict[str, Found]:
    return {found.entry.name: found for found in list_cache(cache, NOW)}


def test_a_unit_and_the_runs_that_have_used_it(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    complete = run_folder(tmp_path / "runs/x", complete=True)
    (folder,) = make(cache, LABELS, run="x", output=complete)
    make(cache, LABELS, run="y", output=run_folder(tmp_path / "runs/y"))
    entry = by_name(cache)[folder.name].entry
    assert (entry.kind, entry.stage, entry.item, entry.whole) == ("unit", "fetch", "labels", True)
    assert [(run.name, run.output, run.state) for run in entry.runs] == [
        ("x", str(complete), "complete"),
        ("y", str(tmp_path / "runs/y"), "unfinished"),
    ]
    assert entry.held_by == "run y has not ended"
    assert entry.num_bytes == sum(path.stat().st_size for path in folder.iterdir())
    assert entry.made <= entry.used


def test_units_come_in_the_order_of_the_stages(tmp_path: Path) -> None:
    make(tmp_path, unit("c", "index"), unit("b", "fetch"), unit("a", "extract"), unit("a"))
    items = [(found.entry.stage, found.entry.item) for found in list_cache(tmp_path, NOW)]
    assert items == [("fetch", "a"), ("fetch", "b"), ("extract", "a"), ("index", "c")]


@pytest.mark.parametrize("harm", ["gone", "cut", "another", "link", "manifest"])
def test_a_unit_that_is_not_whole(tmp_path: Path, harm: str) -> None:
    (folder,) = make(tmp_path, LABELS)
    file = folder / ("manifest.json" if harm == "manifest" else "file")
    match harm:
        case "gone" | "link":
            file.unlink()
        case "cut" | "manifest":
            os.truncate(file, 10)
        case "another":
            (folder / "another").touch()
    if harm == "link":
        file.symlink_to("/etc/passwd")
    assert by_name(tmp_path)[folder.name].entry.whole is False


def test_a_unit_that_is_perhaps_a_copy_is_whole_and_not_verified(tmp_path: Path) -> None:
    (folder,) = make(tmp_path, LABELS)
    assert not by_name(tmp_path)[folder.name].entry.unverified
    os.utime(folder / "file")
    entry = by_name(tmp_path)[folder.name].entry
    assert (entry.whole, entry.unverified) == (True, True)
    os.truncate(folder / "file", 10)
    entry = by_name(tmp_path)[folder.name].entry
    assert (entry.whole, entry.unverified) == (False, False)


@pytest.mark.parametrize("name", ["file", "manifest.json"])
def test_the_files_of_a_unit_are_looked_at_once(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder,) = make(tmp_path, LABELS)
    walks: list[Path] = []

    def note(path: Path) -> Iterator[Walked]:
        walks.append(path)
        return walk(path)

    monkeypatch.setattr(listing, "walk", note)
    monkeypatch.setattr(unit_manifest, "walk", note)
    os.truncate(folder / name, 10)
    by_name(tmp_path)
    assert walks == [folder]


def test_a_unit_under_the_name_of_another_is_not_whole(tmp_path: Path) -> None:
    (folder,) = make(tmp_path, LABELS)
    folder.rename(folder.with_name(IMAGES.folder_name))
    assert by_name(tmp_path)[IMAGES.folder_name].entry.whole is False


def test_what_is_not_finished(tmp_path: Path) -> None:
    (folder,) = make(tmp_path, LABELS)
    building = folder.with_name(f".{IMAGES.folder_name}.building")
    building.mkdir()
    partial = tmp_path / "downloads" / f"{LABELS.folder_name}.json"
    partial.parent.mkdir()
    partial.write_bytes(bytes(10))
    with Lease.acquire(lease_of(folder.with_name(IMAGES.folder_name)), "builder"):
        found = by_name(tmp_path)
    assert [(one.entry.kind, one.entry.item) for one in found.values()] == [
        ("unit", "labels"),
        ("building", "images"),
        ("download", "labels"),
    ]
    assert found[building.name].entry.held_by == "it is being made"
    assert found[partial.name].entry.num_bytes == 10
    assert by_name(tmp_path)[building.name].entry.held_by == ""


def test_a_divided_download_is_what_has_come_of_it(tmp_path: Path) -> None:
    partial = tmp_path / "downloads" / LABELS.folder_name
    partial.parent.mkdir(parents=True)
    (tmp_path / "units").mkdir()
    with partial.open("wb") as file:
        file.truncate(1 << 30)
    assert by_name(tmp_path)[partial.name].entry.num_bytes == 0


def test_what_no_run_has_made_is_shown_and_not_followed(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (folder,) = make(cache, LABELS)
    (tmp_path / "aside").mkdir()
    (tmp_path / "aside" / "big").write_bytes(bytes(10**6))
    stranger = f"weights-x-{16 * '0'}"  # of no stage of ours
    names = ["a\nb", "\x1b[31mred", "fetch-x-0123", "lost+found", stranger]
    for name in names:
        (cache / "units" / name).mkdir()
    (cache / "units" / IMAGES.folder_name).symlink_to(tmp_path / "aside")
    os.mkfifo(cache / "units" / "pipe")
    foreign = {name for name, found in by_name(cache).items() if found.entry.kind == "foreign"}
    assert foreign == {*names, IMAGES.folder_name, "pipe"}
    assert sum(found.entry.num_bytes for found in by_name(cache).values()) < 10**5
    assert by_name(cache)[folder.name].entry.whole


def test_a_file_of_use_that_says_nothing_is_somebodys_use(tmp_path: Path) -> None:
    (folder,) = make(tmp_path, LABELS)
    (used,) = (tmp_path / "uses" / folder.name).iterdir()
    used.write_text('{"run": 7')
    (tmp_path / "uses" / folder.name / "link").symlink_to("/etc/passwd")
    entry = by_name(tmp_path)[folder.name].entry
    assert sorted(run.name for run in entry.runs) == sorted([used.name, "link"])
    assert {run.state for run in entry.runs} == {"unfinished"}


def test_a_folder_that_is_no_cache_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{tmp_path} is no cache of qinstruct"):
        list_cache(tmp_path, NOW)
    (tmp_path / "units").symlink_to("/etc")
    with pytest.raises(ConfigError, match="no cache of qinstruct"):
        list_cache(tmp_path, NOW)
