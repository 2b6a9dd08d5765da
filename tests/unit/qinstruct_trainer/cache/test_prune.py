"""What is deleted of a cache, and that nothing is which a run needs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qinstruct_trainer.cache.choice import Conditions
from qinstruct_trainer.cache.listing import Ended, list_cache, num_bytes_of
from qinstruct_trainer.cache.prune import prune
from qinstruct_trainer.contract.cache import Pruned
from qinstruct_trainer.lease import Lease
from qinstruct_trainer.prep.unit_cache import UnitCache, lease_of, verify
from qinstruct_trainer.prep.uses import uses_of
from support.cache import races
from support.cache.units import IMAGES, LABELS, make, run_folder, unit

NOW = 4e9  # in 2096: everything is old
ALL = Conditions(unused=1)


def pruned(cache: Path, conditions: Conditions = ALL, *ended: str, yes: bool = True) -> Pruned:
    return prune(cache, conditions, Ended(frozenset(ended)), NOW, yes=yes)


def names(found: Pruned) -> list[str]:
    return sorted(entry.name for entry in found.deleted)


def test_a_dry_run_deletes_nothing_and_says_what_would_go(tmp_path: Path) -> None:
    folders = make(tmp_path, LABELS, IMAGES)
    found = pruned(tmp_path, ALL, "x", yes=False)
    assert names(found) == sorted(folder.name for folder in folders)
    assert (found.done, found.num_bytes) == (False, 0)
    assert found.freed_bytes == sum(
        path.stat().st_size for folder in folders for path in folder.iterdir()
    )
    for folder in folders:
        verify(folder)


def test_what_a_run_of_another_machine_uses_stays_until_a_person_says_that_it_has_ended(
    tmp_path: Path,
) -> None:
    (folder,) = make(tmp_path, LABELS)
    assert names(pruned(tmp_path)) == []
    verify(folder)
    assert names(pruned(tmp_path, ALL, "y")) == []
    assert names(pruned(tmp_path, ALL, "x")) == [folder.name]
    assert [path.name for path in (tmp_path / "units").iterdir()] == [".leases"]
    assert uses_of(tmp_path, folder.name) == ()


@pytest.mark.parametrize(("complete", "deleted"), [(False, 0), (True, 1)])
def test_a_local_run_that_is_not_complete_keeps_its_units(
    tmp_path: Path, complete: bool, deleted: int
) -> None:
    output = run_folder(tmp_path / "runs/x", complete=complete)
    make(tmp_path / "cache", LABELS, output=output)
    assert len(pruned(tmp_path / "cache").deleted) == deleted


def test_a_run_that_evaluates_its_model_is_not_complete(tmp_path: Path) -> None:
    output = run_folder(tmp_path / "runs/x", complete=True)
    (folder,) = make(tmp_path / "cache", LABELS, output=output)
    with Lease.acquire(output / "lease", "x"):
        assert names(pruned(tmp_path / "cache")) == []
    assert names(pruned(tmp_path / "cache")) == [folder.name]


def test_unreferenced_is_what_no_folder_of_a_run_is_left_of(tmp_path: Path) -> None:
    output = run_folder(tmp_path / "runs/x", complete=True)
    (folder,) = make(tmp_path / "cache", LABELS, output=output)
    unreferenced = Conditions(unreferenced=True)
    assert names(pruned(tmp_path / "cache", unreferenced)) == []
    shutil.rmtree(output)
    assert names(pruned(tmp_path / "cache", unreferenced)) == [folder.name]


def test_a_volume_that_is_not_mounted_is_no_deleted_run(tmp_path: Path) -> None:
    output = run_folder(tmp_path / "runs/x")
    make(tmp_path / "cache", LABELS, output=output)
    (tmp_path / "runs").rename(tmp_path / "volume")
    (tmp_path / "runs").mkdir()  # the mount point
    assert names(pruned(tmp_path / "cache")) == []


def test_one_of_two_runs_is_enough(tmp_path: Path) -> None:
    make(tmp_path, LABELS, run="x")
    make(tmp_path, LABELS, run="y")
    assert names(pruned(tmp_path, ALL, "x")) == []
    assert len(names(pruned(tmp_path, ALL, "x", "y"))) == 1


def test_runs_may_end_by_age(tmp_path: Path) -> None:
    make(tmp_path, LABELS)
    later = prune(tmp_path, ALL, Ended(after=2 * NOW), NOW, yes=True)
    assert names(later) == []
    assert len(names(prune(tmp_path, ALL, Ended(after=86400.0), NOW, yes=True))) == 1


def test_a_unit_that_is_being_built_stays(tmp_path: Path) -> None:
    (folder,) = make(tmp_path, LABELS)
    with Lease.acquire(lease_of(folder), "builder"):
        assert names(pruned(tmp_path, ALL, "x")) == []
    verify(folder)


def test_what_a_killed_builder_left_goes_when_nobody_builds_there(tmp_path: Path) -> None:
    (folder,) = make(tmp_path, LABELS)
    left = folder.with_name(f".{IMAGES.folder_name}.building")
    left.mkdir()
    (left / "half").write_bytes(bytes(10))
    with Lease.acquire(lease_of(folder.with_name(IMAGES.folder_name)), "builder"):
        assert names(pruned(tmp_path)) == []
    assert names(pruned(tmp_path)) == [left.name]
    assert not left.exists()


def test_a_partial_download_stays_while_its_run_has_not_ended(tmp_path: Path) -> None:
    (folder,) = make(tmp_path, LABELS)
    partial = tmp_path / "downloads" / folder.name
    partial.parent.mkdir()
    partial.write_bytes(bytes(10))
    assert names(pruned(tmp_path)) == []
    assert names(pruned(tmp_path, ALL, "x")) == [folder.name] * 2
    assert not partial.exists()


def test_downloads_of_the_hub_are_used_by_their_runs(tmp_path: Path) -> None:
    make(tmp_path, LABELS)
    hub = tmp_path / "downloads/hub"
    (hub / "models--a--b").mkdir(parents=True)
    assert UnitCache(tmp_path, "y", lambda _: None).shared_downloads("hub") == hub
    assert "hub" not in names(pruned(tmp_path, ALL, "x"))
    assert "hub" in names(pruned(tmp_path, ALL, "y"))
    assert not hub.exists()


def test_only_so_much_goes_that_the_rest_fits_the_longest_unused_first(tmp_path: Path) -> None:
    folders = make(tmp_path, unit("a"), unit("b"), unit("c"), num_bytes=10_000)
    for age, folder in enumerate(folders):
        for used in uses_of(tmp_path, folder.name):
            os.utime(used.path, (2e9 - age, 2e9 - age))
    assert names(pruned(tmp_path, Conditions(keep=100_000), "x")) == []
    assert names(pruned(tmp_path, Conditions(keep=25_000), "x")) == [folders[2].name]
    assert names(pruned(tmp_path, Conditions(keep=0), "x")) == [f.name for f in folders[:2]]


def test_bytes_that_two_units_share_are_counted_once(tmp_path: Path) -> None:
    one, two = make(tmp_path, unit("a"), unit("b"), num_bytes=10_000)
    (two / "file").unlink()
    (two / "file").hardlink_to(one / "file")
    found = list_cache(tmp_path, NOW)
    assert 10_000 < num_bytes_of(found) < 20_000
    freed = pruned(tmp_path, Conditions(keep=10_000), "x", yes=False)
    assert len(freed.deleted) == 2  # one alone frees its manifest, but not the shared bytes


def test_a_link_in_the_place_of_a_unit_is_neither_followed_nor_deleted(tmp_path: Path) -> None:
    (folder,) = make(tmp_path / "cache", LABELS)
    aside = tmp_path / "precious"
    aside.mkdir()
    (aside / "file").write_text("precious")
    link = folder.with_name(IMAGES.folder_name)
    link.symlink_to(aside)
    (tmp_path / "cache/downloads").symlink_to(aside)
    assert names(pruned(tmp_path / "cache", ALL, "x")) == [folder.name]
    assert (link.is_symlink(), (aside / "file").read_text()) == (True, "precious")


def test_links_inside_of_a_unit_are_deleted_as_links(tmp_path: Path) -> None:
    (folder,) = make(tmp_path / "cache", LABELS)
    aside = tmp_path / "precious"
    aside.mkdir()
    (aside / "file").write_text("precious")
    (folder / "link").symlink_to(aside)
    assert names(pruned(tmp_path / "cache", ALL, "x")) == [folder.name]
    assert (aside / "file").read_text() == "precious"


@pytest.mark.slow
@pytest.mark.parametrize("first", ["prune", "prep"])
def test_prep_gets_a_whole_unit_whenever_the_other_comes(first: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, races.__file__, str(tmp_path), first],
        env={"PYTHONPATH": str(Path(races.__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [races.Race.model_validate_json(line) for line in done.stdout.splitlines()]
    assert len(found) > 10
    assert [race for race in found if not (race.whole and race.used)] == []


def test_a_link_in_the_place_of_uses_keeps_its_unit_and_no_other(tmp_path: Path) -> None:
    linked, other = make(tmp_path, LABELS, IMAGES)
    uses = tmp_path / "uses" / linked.name
    shutil.rmtree(uses)
    uses.symlink_to("/")
    found = pruned(tmp_path, ALL, "x")
    assert names(found) == [other.name]
    assert [(one.name, one.reason) for one in found.kept] == [
        (linked.name, f"uses/{linked.name} is a link, which is not followed: delete it")
    ]
    verify(linked)
