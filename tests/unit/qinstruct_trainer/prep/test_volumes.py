"""Both volumes before prep begins: rights, what an earlier run left, room."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from qinstruct_trainer.contract.errors import StorageError
from qinstruct_trainer.prep.volumes import check_volumes
from support.tmpfs import tmpfs
from support.unprivileged import open_folder, unprivileged

MANY = 2**60  # bytes that no volume of a test has


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as made:
        yield made


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    with tmpfs(tmp_path / "disk", "size=64k") as place:
        (place / "file").write_bytes(bytes(64 << 10))
        yield place


@pytest.fixture
def read_only_disk(tmp_path: Path) -> Iterator[Path]:
    with tmpfs(tmp_path / "disk", "ro") as place:
        yield place


def refusal(cache: Path, output: Path, **needed: int) -> str:
    with pytest.raises(StorageError) as caught:
        check_volumes(cache, output, **needed)
    return str(caught.value)


def test_what_can_be_written_passes_and_nothing_is_left(tmp_path: Path) -> None:
    cache, output = tmp_path / "cache", tmp_path / "runs" / "run"

    check_volumes(cache, output, 1, 1)

    assert [*cache.iterdir(), *output.iterdir()] == []


def test_what_is_planted_in_the_place_of_an_attempt_stops_nobody(tmp_path: Path) -> None:
    for name in (f".probe.{os.getpid()}", f"..probe.{os.getpid()}.{os.getpid()}"):
        (tmp_path / name / "full").mkdir(parents=True)
    check_volumes(tmp_path, tmp_path, 1, 1)
    assert len([*tmp_path.iterdir()]) == 2


@pytest.mark.parametrize("which", ["cache", "output"])
@pytest.mark.parametrize("is_there", [True, False])
def test_a_folder_of_another_user(which: str, is_there: bool, folder: Path) -> None:
    place = folder / which / ("" if is_there else "deeper")
    (folder / which).mkdir(mode=0o555)
    with unprivileged():
        us = f"{os.geteuid()}:{os.getegid()}"
        ours = Path("/tmp") / f"{folder.name}-{which}"
        cache, output = (place, ours) if which == "cache" else (ours, place)
        said = refusal(cache, output)
    ours.rmdir() if ours.exists() else None

    owner = f"{os.geteuid()}:{os.getegid()} with mode dr-xr-xr-x"
    assert said == (
        f"{place} cannot be written: Permission denied; {folder / which} belongs to {owner}, and "
        f"this process is {us}; `chown -R {us} {folder / which}` gives it to this user"
    )


@pytest.mark.parametrize(
    "inner",
    [
        *("cache/units", "cache/units/.leases", "cache/downloads", "output/checkpoints"),
        *("output/model", "output/model.partial", "output/metrics.jsonl"),
    ],
)
def test_what_an_earlier_run_left_as_another_user(inner: str, folder: Path) -> None:
    for name in ("cache", "output"):
        (folder / name).mkdir()
        (folder / name).chmod(0o777)
    place = folder / inner
    place.parent.mkdir(exist_ok=True)
    place.parent.chmod(0o777)
    place.touch(0o444) if place.suffix == ".jsonl" else place.mkdir(mode=0o555)
    with unprivileged():
        said = refusal(folder / "cache", folder / "output")

    assert said.startswith(f"{place} cannot be written: Permission denied; {place} belongs to ")
    assert "`chown -R " in said


def test_what_nobody_may_touch_on_a_new_volume_is_no_matter(folder: Path) -> None:
    for name in ("cache", "output"):
        (folder / name).mkdir()
        (folder / name).chmod(0o777)
        (folder / name / "lost+found").mkdir(mode=0o700)
    with unprivileged():
        check_volumes(folder / "cache", folder / "output")


def test_a_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "output").touch()

    file = tmp_path / "output"

    for output in (file, file / "run", file / "run" / "deeper"):
        assert refusal(tmp_path / "cache", output) == (
            f"{output} cannot be made, because {file} is no folder; use another one"
        )


def test_a_full_disk(full_disk: Path, tmp_path: Path) -> None:
    said = refusal(tmp_path / "cache", full_disk)

    assert said == (
        f"{full_disk} cannot be written, because the disk is full; free space and run again"
    )
    assert [path.name for path in full_disk.iterdir()] == ["file"]


def test_a_volume_that_is_mounted_read_only(read_only_disk: Path, tmp_path: Path) -> None:
    said = refusal(read_only_disk, tmp_path / "output")

    assert said.startswith(f"{read_only_disk} cannot be written: Read-only file system; ")
    assert said.endswith("mount the volume so that it can be written")


def test_too_little_room_for_the_output_counts_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "model").write_bytes(bytes(1000))

    said = refusal(tmp_path / "cache", tmp_path / "output", output_bytes=MANY)

    assert said.startswith(f"{tmp_path}/output has ")
    assert f" free and the run needs {MANY - 1000:,} there; free space or use a larger" in said


def test_room_in_a_cache_is_asked_for_only_while_it_is_empty(tmp_path: Path) -> None:
    units = tmp_path / "cache" / "units"
    for of_no_unit in (".leases", ".fetch-x-1.a-killed-run"):
        (units / of_no_unit).mkdir(parents=True)
    said = refusal(tmp_path / "cache", tmp_path / "output", cache_bytes=MANY)
    (units / "fetch-x-1").mkdir()

    assert said.startswith(f"{tmp_path}/cache has ")
    check_volumes(tmp_path / "cache", tmp_path / "output", cache_bytes=MANY)
