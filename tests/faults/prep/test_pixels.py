"""Segments of decoded images: each image once, whatever stops prep and whoever asks again."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.images import examine_image, load_levels
from qinstruct_trainer.data.pixel_store import IMAGES, PIXELS, PixelStore, SegmentImages
from qinstruct_trainer.prep import images as prep_images
from qinstruct_trainer.prep import pixels as prep_pixels
from qinstruct_trainer.prep.pixels import PixelUnits
from qinstruct_trainer.prep.unit_cache import UnitCache
from support.pictures import make_image, write_pictures
from support.prep.gate_progress import progress

SIZE = 28
KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from faults.prep import test_pixels
test_pixels.prep_pixels._SEGMENT = 5
folder, die_at = Path(sys.argv[1]), int(sys.argv[2])
progress = test_pixels.progress()
add = progress.add
def counted():
    add()
    if progress.done == die_at:
        os.kill(os.getpid(), signal.SIGKILL)
progress.add = counted
names = test_pixels.names_of(folder)
test_pixels.units(folder).examine(names, progress)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """24 pictures below `files`."""
    (tmp_path / "files").mkdir()
    for number in range(24):
        make_image("RGB", (30 + number, 20), number).save(tmp_path / "files" / f"{number:02d}.png")
    return tmp_path


def names_of(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "files").iterdir())


def units(folder: Path, size: int = SIZE, reserve: int = 0, code: str = "1") -> PixelUnits:
    cache = UnitCache(folder / "cache", "run", lambda _: None)
    cache.root.mkdir(exist_ok=True)
    return PixelUnits(cache, (folder / "files",), ("key",), size, code, reserve)


def store_of(folder: Path, made: PixelUnits | None = None) -> PixelStore:
    table = (made or units(folder)).table(names_of(folder), progress())
    assert table is not None
    store = PixelStore.open(table, SIZE)
    assert store is not None
    return store


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the images that are decoded from now on, in this process."""
    seen: list[str] = []

    def note(path: Path, size: int | None) -> object:
        seen.append(path.name)
        return examine_image(path, size)

    monkeypatch.setattr(prep_images, "examine_image", note)
    return seen


def segments(folder: Path) -> list[Path]:
    return sorted((folder / "cache" / "units").glob("pixels-images-*"))


def test_the_store_is_bit_equal_on_every_kind_of_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each image comes from the store: the decoder may not be asked."""
    pictures = write_pictures(tmp_path / "files")
    assert len(pictures) >= 200
    store = store_of(tmp_path)
    expected = [load_levels(path, SIZE) for path in pictures]
    monkeypatch.setattr("qinstruct_trainer.data.pixel_store.load_levels", None)
    for path, levels in zip(pictures, expected, strict=True):
        assert np.array_equal(store.levels(path), levels), path.name


@pytest.mark.slow
def test_processes_store_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = write_pictures(tmp_path / "files")
    store_of(tmp_path)
    (alone,) = segments(tmp_path)
    content = (alone / PIXELS).read_bytes()
    shutil.rmtree(tmp_path / "cache")
    monkeypatch.setattr(prep_images, "_IN_PROCESS", 0)
    store_of(tmp_path)
    (pooled,) = segments(tmp_path)
    assert len(content) == len(pictures) * 3 * SIZE * SIZE
    assert (pooled / PIXELS).read_bytes() == content


def test_an_image_is_decoded_once(folder: Path, decoded: list[str]) -> None:
    names = names_of(folder)
    units(folder).examine(names[:10], progress())
    units(folder).examine(names[5:], progress())
    units(folder).examine(names[::-1], progress())
    store_of(folder)
    assert decoded == names


@pytest.mark.parametrize("other", [{"size": 14}, {"code": "2"}])
def test_other_pixels_are_other_segments(
    other: dict[str, object], folder: Path, decoded: list[str]
) -> None:
    units(folder).examine(names_of(folder), progress())
    units(folder, **other).examine(names_of(folder), progress())  # type: ignore[arg-type]
    assert decoded == 2 * names_of(folder)


def test_pixels_of_other_libraries_are_other_segments(
    folder: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    units(folder).examine(names_of(folder), progress())
    monkeypatch.setattr(prep_pixels, "decoders", lambda: "pillow 99")
    units(folder).examine(names_of(folder), progress())
    assert decoded == 2 * names_of(folder)


@pytest.mark.slow
@pytest.mark.parametrize("die_at", [1, 7, 10, 23])
def test_killed_in_the_middle_it_goes_on_behind_the_last_segment(
    die_at: int, folder: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tests = Path(__file__).parents[2]
    command = [sys.executable, "-c", KILLED, str(folder), str(die_at), str(tests)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    monkeypatch.setattr(prep_pixels, "_SEGMENT", 5)
    defaults = UnitCache.__init__.__kwdefaults__ or {}
    monkeypatch.setitem(defaults, "stale_seconds", 0.1)
    whole = (die_at - 1) // 5
    assert len(segments(folder)) == whole
    units(folder).examine(names_of(folder), progress())
    assert decoded == names_of(folder)[5 * whole :]
    store = store_of(folder)
    for name in names_of(folder):
        path = folder / "files" / name
        assert np.array_equal(store.levels(path), load_levels(path, SIZE))
    assert not [*(folder / "cache" / "units").glob(".*building")]


@pytest.mark.parametrize("harm", ["changed", "cut", "list", "gone"])
def test_a_damaged_segment_is_made_again(
    harm: str, folder: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prep_pixels, "_SEGMENT", 8)
    store_of(folder)
    decoded.clear()
    damaged = segments(folder)[1]
    names = SegmentImages.model_validate_json((damaged / IMAGES).read_text()).names
    content = bytearray((damaged / PIXELS).read_bytes())
    if harm == "changed":
        content[100] ^= 1
        (damaged / PIXELS).write_bytes(content)
    elif harm == "cut":
        (damaged / PIXELS).write_bytes(content[:-1])
    elif harm == "list":
        (damaged / IMAGES).write_text("{}")
    else:
        (damaged / PIXELS).unlink()
    store = store_of(folder)
    assert decoded == list(names)
    path = folder / "files" / names[0]
    assert np.array_equal(store.levels(path), load_levels(path, SIZE))


Usage = namedtuple("Usage", "total used free")


def test_without_room_images_are_verified_and_nothing_is_stored(
    folder: Path,
    decoded: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    names = names_of(folder)
    (folder / "files" / names[3]).write_bytes(b"no image")
    needed = len(names) * 3 * SIZE * SIZE + prep_pixels._SPARE + 1000
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, needed - 1))
    made = units(folder, reserve=1000)
    found = made.examine(names, progress())
    assert list(found.faults) == [names[3]]
    assert made.table(names, progress()) is None
    assert "training decodes the images" in caplog.text
    assert not [*(folder / "cache").rglob(PIXELS)]
    assert decoded == names
    made.examine(names, progress())
    assert decoded == names  # what was verified is known

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, needed))
    store_of(folder, made)
    assert decoded == 2 * names
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 0))
    store_of(folder, made)  # nothing more is stored
    assert decoded == 2 * names


def test_where_no_store_is_wanted_images_are_verified_and_nothing_is_said(
    folder: Path, decoded: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Also where another run has stored them: its verdicts are taken, its pixels are not."""
    names = names_of(folder)
    (folder / "files" / names[3]).write_bytes(b"no image")
    never = replace(units(folder), stores=False)
    for _ in range(2):
        assert list(never.examine(names, progress()).faults) == [names[3]]
        assert never.table(names, progress()) is None
    assert not [*(folder / "cache").rglob(PIXELS)]
    assert decoded == names

    store_of(folder)
    assert decoded == 2 * names
    shutil.rmtree(next(path for path in segments(folder) if not (path / PIXELS).exists()))
    assert list(never.examine(names, progress()).faults) == [names[3]]
    assert never.table(names, progress()) is None
    assert decoded == 2 * names
    assert not caplog.text


def test_a_bad_image_is_remembered_and_not_in_the_table(folder: Path, decoded: list[str]) -> None:
    names = names_of(folder)
    (folder / "files" / names[3]).write_bytes(b"no image")
    make_image("I;16", (40, 30), 0).save(folder / "files" / names[4])
    first = units(folder).examine([*names, "none.png"], progress())
    second = units(folder).examine([*names[::-1], "none.png"], progress())
    assert {*first.faults} == {names[3], "none.png"}
    assert dict(first.faults) == dict(second.faults)
    assert list(second.faults) == [names[3], "none.png"]
    assert first.destroyed == second.destroyed == (names[4],)
    assert decoded == names
    with pytest.raises(DataError, match="is no JPEG"):
        store_of(folder).levels(folder / "files" / names[3])


def test_what_is_wrong_in_one_folder_is_not_so_in_another(folder: Path) -> None:
    """Two archives may have a file of one name; a run takes the first."""
    names = names_of(folder)
    (folder / "second").mkdir()
    (folder / "second" / names[0]).write_bytes(b"no image")
    Image.new("RGB", (4, 4)).save(folder / "second" / "only.png")
    cache = units(folder).cache
    roots = (folder / "files", folder / "second")
    turned = PixelUnits(cache, roots[::-1], ("second", "key"), SIZE, "1")
    assert list(turned.examine(names, progress()).faults) == [names[0]]
    straight = PixelUnits(cache, roots, ("key", "second"), SIZE, "1")
    assert straight.examine([*names, "only.png"], progress()).faults == {}


def test_names_are_any_that_a_file_can_have(folder: Path) -> None:
    shutil.rmtree(folder / "files")
    (folder / "files" / "a b").mkdir(parents=True)
    names = ["a b/\u00e9\u4e2d.png", "a b/'\"\\.png", "a b/%2e.png"]
    for name in names:
        Image.new("RGB", (4, 4), (len(name), 1, 2)).save(folder / "files" / name, "PNG")
    made = units(folder)
    assert made.examine(names, progress()).faults == {}
    table = made.table(names, progress())
    assert table is not None
    listed = json.loads((segments(folder)[0] / IMAGES).read_text())["names"]
    assert listed == names
    assert os.path.getsize(table / "table.bin") == 3 * 20  # noqa: PTH202
