"""A unit's name, and its manifest beside its files."""

import json
import os
from pathlib import Path

import pytest

from qinstruct_trainer.contract.errors import StorageError
from qinstruct_trainer.durable_files import sha256_of
from qinstruct_trainer.prep.unit_manifest import (
    MANIFEST,
    MTIME_NS,
    Unit,
    UnitManifest,
    WrittenFile,
    are_copies,
    compare_folder,
    keep_plain_files,
    manifest_of,
    read_manifest,
    remove_others,
    walk,
)

UNIT = Unit("fetch", "http://a/../b c", ("1", "2"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "unit" / "below").mkdir(parents=True)
    (tmp_path / "unit" / "a").write_bytes(b"one")
    (tmp_path / "unit" / "below" / "b").write_bytes(b"three")
    return tmp_path / "unit"


def test_the_name_of_a_unit_is_one_of_any_file_system() -> None:
    assert UNIT.folder_name == f"fetch-http-a-..-b-c-{UNIT.key}"
    assert Unit("fetch", "/", ()).folder_name.startswith("fetch-item-")
    assert len(Unit("fetch", "x" * 999, ()).folder_name) < 100


def test_each_part_of_a_unit_counts() -> None:
    units = [UNIT, Unit("extract", UNIT.item, ("1", "2")), Unit("fetch", UNIT.item, ("12",))]
    assert len({unit.key for unit in units}) == 3
    assert Unit(UNIT.stage, UNIT.item, UNIT.key_parts).key == UNIT.key


def test_a_manifest_has_every_file_and_none_is_read_that_was_just_written(folder: Path) -> None:
    written = {"a": WrittenFile(3, "as told")}
    made = UnitManifest.model_validate_json(manifest_of(UNIT, folder, written))
    assert [(file.path, file.bytes, file.sha256) for file in made.files] == [
        ("a", 3, "as told"),
        ("below/b", 5, sha256_of(folder / "below" / "b")),
    ]
    assert (made.stage, made.item, made.key_parts) == (UNIT.stage, UNIT.item, UNIT.key_parts)
    assert {(folder / file.path).stat().st_mtime_ns for file in made.files} == {MTIME_NS}


def test_a_file_that_is_not_as_it_was_written_is_no_part_of_a_unit(folder: Path) -> None:
    for name, size in (("a", 4), ("c", 0)):
        with pytest.raises(StorageError, match=rf"{name} was written with {size} bytes and is not"):
            manifest_of(UNIT, folder, {name: WrittenFile(size, "")})


@pytest.mark.parametrize("change", ["none", "size", "time", "missing", "more", "link", "no folder"])
def test_what_has_changed_is_found(change: str, folder: Path) -> None:
    (folder / MANIFEST).write_text(manifest_of(UNIT, folder, {}))
    manifest = read_manifest(folder)
    assert manifest is not None
    file = folder / "below" / "b"
    if change == "size":
        file.write_bytes(b"four")
    elif change == "time":
        os.utime(file, ns=(1, 1))
    elif change == "more":
        (folder / "below" / "c").touch()
    elif change != "none":
        file.unlink()
    if change == "link":
        file.symlink_to("/etc/passwd")
    elif change == "no folder":
        file.parent.rmdir()
        file.parent.symlink_to("/")
    found = compare_folder(folder, manifest)
    assert (found.changed is None) == (change in ("none", "time"))
    assert [file.path for file in found.retimed] == (["below/b"] if change == "time" else [])


def test_a_file_of_another_time_is_told_by_its_digest(folder: Path) -> None:
    (folder / MANIFEST).write_text(manifest_of(UNIT, folder, {}))
    manifest = read_manifest(folder)
    assert manifest is not None
    for name in ("a", "below/b"):
        os.utime(folder / name, ns=(1, 1))
    (folder / "a").write_bytes(b"two")
    one, other = compare_folder(folder, manifest).retimed
    assert {one.path, other.path} == {"a", "below/b"}
    good = one if one.path == "below/b" else other
    assert not are_copies(folder, manifest, [one, other])
    assert are_copies(folder, manifest, [good])
    assert [file.path for file in compare_folder(folder, manifest).retimed] == ["a"]


def test_no_link_is_a_unit(folder: Path) -> None:
    (folder / MANIFEST).write_text(manifest_of(UNIT, folder, {}))
    link = folder.with_name("link")
    link.symlink_to(folder)
    assert read_manifest(folder) is not None
    assert read_manifest(link) is None
    with pytest.raises(NotADirectoryError):
        list(walk(link))


@pytest.mark.parametrize("text", ["", "{}", "[]", json.dumps({"stage": 1})])
def test_what_is_no_manifest_is_none(text: str, folder: Path) -> None:
    (folder / MANIFEST).write_text(text)
    assert read_manifest(folder) is None


def test_what_others_planted_goes_and_what_was_not_written_too(folder: Path) -> None:
    outside = folder.with_name("outside")
    outside.write_bytes(b"theirs")
    (folder / "soft").symlink_to(outside)
    (folder / "hard").hardlink_to(outside)
    os.mkfifo(folder / "pipe")
    keep_plain_files(folder)
    assert {name for name, _, _ in walk(folder)} == {"a", "below/b"}
    remove_others(folder, {"a": WrittenFile(3, "")})
    assert {name for name, _, _ in walk(folder)} == {"a"}
    assert outside.read_bytes() == b"theirs"
