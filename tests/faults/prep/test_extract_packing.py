"""What packing leaves in an archive: other systems' files, other forms of a name, two in one."""

import io
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.records import parse_record
from qinstruct_trainer.prep.progress import Progress
from support.prep.archives import NAME, tar_of, unpack
from support.prep.examine import examine_images

FILES = {"a/1.jpg": b"one", "b/2.jpg": b"two" * 4000}
Pack = Callable[[Path, dict[str, bytes]], Path]


def zip_of(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as package:
        for name, content in files.items():
            package.writestr(name, content)
    return path


OF_SYSTEMS = {
    "AppleDouble": ("._q-instruct-images", f"{NAME}/._a", f"{NAME}/a/._1.jpg"),
    "Finder": ("__MACOSX/a/._1.jpg", "__MACOSX/1.jpg", f"{NAME}/.DS_Store", ".DS_Store"),
    "a Mac's volume": (".Spotlight-V100/x", ".fseventsd/y", ".Trashes/z"),
    "Windows": ("Thumbs.db", f"{NAME}/a/Thumbs.db", "desktop.ini", "$RECYCLE.BIN/x"),
    "Synology": (f"{NAME}/@eaDir/1.jpg/x", "@eaDir/x"),
    "tar unpacked by another": ("PaxHeaders/1.jpg",),
}


@pytest.mark.parametrize("pack", [tar_of, zip_of])
@pytest.mark.parametrize("names", OF_SYSTEMS.values(), ids=OF_SYSTEMS)
def test_files_of_a_system_are_left_out_and_hide_no_folder(
    pack: Pack, names: tuple[str, ...], tmp_path: Path
) -> None:
    files = dict.fromkeys(names, b"not ours")
    files |= {f"./{NAME}/{name}": content for name, content in FILES.items()}

    assert unpack(pack(tmp_path / "archive", files)) == FILES


@pytest.mark.parametrize("pack", [tar_of, zip_of])
def test_an_archive_of_such_files_alone_holds_none(pack: Pack, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the archive holds no file"):
        unpack(pack(tmp_path / "archive", {"._a": b"x", "__MACOSX/b": b"y"}))


def joined(folder: Path, *parts: bytes) -> Path:
    (folder / "archive").write_bytes(b"".join(parts))
    return folder / "archive"


def packed(folder: Path, mode: str = "w") -> list[bytes]:
    """Two archives, of a file each."""
    made = [tar_of(folder / name[0], {name: FILES[name]}, mode) for name in FILES]
    return [path.read_bytes() for path in made]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_tars_one_after_the_other_are_both_unpacked(mode: str, tmp_path: Path) -> None:
    assert unpack(joined(tmp_path, *packed(tmp_path, mode))) == FILES


@pytest.mark.parametrize("zeros", [512, 5 * 512, 100])
def test_zeros_between_or_after_them_are_no_matter(zeros: int, tmp_path: Path) -> None:
    first, second = packed(tmp_path)
    between = bytes(zeros if zeros % 512 == 0 else 512)
    assert unpack(joined(tmp_path, first, between, second, bytes(zeros))) == FILES


@pytest.mark.parametrize("share", [0.2, 0.7])
def test_a_second_one_that_is_cut_is_noticed(share: float, tmp_path: Path) -> None:
    first, second = packed(tmp_path)
    used = 512 + 12_288  # a header and the blocks of the content
    with pytest.raises(DataError, match="truncated or damaged"):
        unpack(joined(tmp_path, first, second[: int(used * share)]))


def test_what_follows_the_end_and_is_no_tar_is_told(tmp_path: Path) -> None:
    first, _ = packed(tmp_path)
    with pytest.raises(DataError, match=r"no member header at byte \d+ after the archive's end"):
        unpack(joined(tmp_path, first, b"x" * 1024))


def test_a_zip_behind_another_is_told(tmp_path: Path) -> None:
    made = [zip_of(tmp_path / name[0], {name: FILES[name]}).read_bytes() for name in FILES]
    with pytest.raises(DataError, match="another zip archive stands before it"):
        unpack(joined(tmp_path, *made))


def test_a_zip_that_unpacks_itself_is_a_zip(tmp_path: Path) -> None:
    program = b"MZ" + bytes(1000)
    assert unpack(joined(tmp_path, program, zip_of(tmp_path / "zip", FILES).read_bytes())) == FILES


NAMES = ("\u00dcbung.jpg", "\u00e9t\u00e9/\u00e9\u0301.jpg", "\ud55c\uae00.jpg", "\u0958.jpg")


@pytest.mark.parametrize("pack", [tar_of, zip_of])
@pytest.mark.parametrize("in_archive", ["NFC", "NFD"])
@pytest.mark.parametrize("in_record", ["NFC", "NFD"])
@pytest.mark.parametrize("name", NAMES)
def test_the_forms_of_a_name_are_one_name(
    pack: Pack, in_archive: str, in_record: str, name: str, tmp_path: Path
) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (2, 2)).save(picture, "PNG")
    form = unicodedata.normalize(in_archive, name)  # type: ignore[arg-type]
    unpack(pack(tmp_path / "archive", {form: picture.getvalue()}))
    record = parse_record(
        {
            "image": unicodedata.normalize(in_record, name),  # type: ignore[arg-type]
            "conversations": [
                {"from": "human", "value": "Is it?"},
                {"from": "gpt", "value": "Yes"},
            ],
        },
        0,
    )
    assert record.image is not None

    faults = examine_images(
        [record.image],
        [tmp_path / "unit" / "files"],
        Progress(lambda _: None, "gate", "r", "files"),
    ).faults

    assert faults == {}


@pytest.mark.parametrize(
    ("wanted", "there", "difference"),
    [
        ("a/IMG_1.JPG", "a/img_1.jpg", "whose name has other upper and lower case"),
        ("A/1.jpg", "a/1.jpg", "whose name has other upper and lower case"),
        ("a/b%20c.jpg", "a/b c.jpg", "whose name is percent-encoded otherwise"),
        ("a/b c.jpg", "a/b%20c.jpg", "whose name is percent-encoded otherwise"),
        ("a/%C3%A9t.jpg", "a/\u00e9t.jpg", "whose name is percent-encoded otherwise"),
        ("a/b%20C.jpg", "a/B c.jpg", "whose name has other characters that look alike"),
        ("a/\uff11.jpg", "a/1.jpg", "whose name has other characters that look alike"),
    ],
)
def test_a_name_that_is_nearly_right_is_told(
    wanted: str, there: str, difference: str, tmp_path: Path
) -> None:
    (tmp_path / there).parent.mkdir()
    (tmp_path / there).touch()
    progress = Progress(lambda _: None, "gate", "records", "files")

    faults = examine_images([wanted, "none.jpg"], [tmp_path], progress).faults

    assert faults == {
        wanted: f"image {wanted} is in none of the image archives; {there} is there, {difference}",
        "none.jpg": "image none.jpg is in none of the image archives",
    }
