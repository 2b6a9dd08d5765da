"""Archives that are good, hostile or broken."""

import io
import random
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from qinstruct_trainer.contract.errors import DataError
from support.prep.archives import NAME, tar_of, unpack
from support.prep.miniature import write_miniature


def zip_of(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in files.items():
            package.writestr(name, content)
    return path


FILES = {"spaq_koniq/1.jpg": b"one" * 1000, "livefb_liveitw_aigc/2.jpg": b"two", "empty": b""}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_tar_in_any_compression(tmp_path: Path, mode: str) -> None:
    assert unpack(tar_of(tmp_path / "archive", FILES, mode)) == FILES


def test_zip(tmp_path: Path) -> None:
    assert unpack(zip_of(tmp_path / "archive", FILES)) == FILES


@pytest.mark.parametrize("make", [tar_of, zip_of])
def test_extra_top_level_folder_is_left_out(
    tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path]
) -> None:
    nested = {f"./{NAME}/{name}": content for name, content in FILES.items()}
    assert unpack(make(tmp_path / "archive", nested)) == FILES


def test_other_top_level_folder_stays(tmp_path: Path) -> None:
    files = {"train2017/1.jpg": b"one"}
    assert unpack(tar_of(tmp_path / "archive", files)) == files


@pytest.mark.parametrize("make", [tar_of, zip_of])
@pytest.mark.parametrize("member", ["../evil", "a/../../evil", "/evil", "a\\evil"])
def test_path_escape_is_refused(
    tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path], member: str
) -> None:
    with pytest.raises(DataError, match="evil"):
        unpack(make(tmp_path / "archive", {"good": b"", member: b"bad"}))
    assert not list(tmp_path.parent.rglob("evil"))


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (tarfile.SYMTYPE, "link"),
        (tarfile.LNKTYPE, "link"),
        (tarfile.CHRTYPE, "device"),
        (tarfile.FIFOTYPE, "device"),
    ],
)
def test_link_and_device_are_refused(tmp_path: Path, kind: bytes, word: str) -> None:
    with tarfile.open(tmp_path / "archive", "w") as tar:
        member = tarfile.TarInfo("odd")
        member.type, member.linkname = kind, "/etc/passwd"
        tar.addfile(member)
    with pytest.raises(DataError, match=f"'odd', which is a {word}"):
        unpack(tmp_path / "archive")


def test_link_in_zip_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "archive", "w") as package:
        member = zipfile.ZipInfo("odd")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        package.writestr(member, "/etc/passwd")
    with pytest.raises(DataError, match="'odd', which is a link"):
        unpack(tmp_path / "archive")


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("kind", ["tar", "w:gz", "w:bz2", "w:xz", "zip"])
def test_truncated_archive_is_refused(tmp_path: Path, kind: str, share: float) -> None:
    rng = random.Random(0)
    files = {f"{number}.jpg": rng.randbytes(5000) for number in range(20)}
    archive = tmp_path / "archive"
    if kind == "zip":
        zip_of(archive, files)
    else:
        tar_of(archive, files, "w" if kind == "tar" else kind)
    content = archive.read_bytes()
    end = len(content) - 10240 if kind == "tar" else len(content)  # tar pads its end with zeros
    archive.write_bytes(content[: int(end * share)])
    with pytest.raises(DataError, match=NAME):
        unpack(archive)


def test_tar_cut_between_members_is_refused(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "archive", {"1": b"one", "2": b"two"})
    archive.write_bytes(archive.read_bytes()[:1024])
    with pytest.raises(DataError, match="truncated"):
        unpack(archive)


def test_damaged_member_header_is_refused(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "archive", {"1": b"one", "2": b"two"})
    content = bytearray(archive.read_bytes())
    content[1024 + 10] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        unpack(archive)


def test_damaged_content_of_zip_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as package:
        package.writestr("1.jpg", b"x" * 1000)
    content = bytearray(archive.read_bytes())
    content[500] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        unpack(archive)


def test_encrypted_zip_is_refused(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "archive", {"1.jpg": b"one"})
    content = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    archive.write_bytes(content)
    with pytest.raises(DataError, match=NAME):
        unpack(archive)


@pytest.mark.parametrize("kind", ["zip", "w:gz", "w:bz2"])
def test_bomb_is_stopped(tmp_path: Path, kind: str) -> None:
    files = {"bomb": bytes(100 << 20)}
    archive = tmp_path / "archive"
    if kind == "zip":
        zip_of(archive, files)
    else:
        tar_of(archive, files, kind)
    with pytest.raises(DataError, match="bomb"):
        unpack(archive)


def test_zip_that_understates_its_size_is_refused(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "archive", {"1.jpg": bytes(50_000)})
    content = archive.read_bytes().replace(struct.pack("<I", 50_000), struct.pack("<I", 10))
    archive.write_bytes(content)
    with pytest.raises(DataError, match=NAME):
        unpack(archive)


@pytest.mark.parametrize(
    ("magic", "at", "value"),
    [
        (b"PK\5\6", 16, struct.pack("<L", 0xFFFFFFF0)),  # so that each member begins before 0
        (b"PK\1\2", 42, struct.pack("<L", 0xFFFFFFF0)),  # or after the end
        (b"PK\1\2", 8, struct.pack("<H", 0x800)),  # a name that is said to be UTF-8, and is none
    ],
    ids=["before the file", "after it", "no UTF-8"],
)
def test_a_zip_whose_table_cannot_be_is_refused(
    magic: bytes, at: int, value: bytes, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    with zipfile.ZipFile(archive, "w") as package:
        package.writestr("a.jpg", b"x")
    content = bytearray(archive.read_bytes().replace(b"a.jpg", b"a\xff\xfe.j"))
    begin = content.rindex(magic) + at
    content[begin : begin + len(value)] = value
    archive.write_bytes(content)
    with pytest.raises(DataError, match="truncated or damaged"):
        unpack(archive)


def test_a_zip_member_without_a_name_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    with zipfile.ZipFile(archive, "w") as package:
        package.writestr("a.jpg", b"x")
    archive.write_bytes(archive.read_bytes().replace(b"a.jpg", b"\0.jpg"))  # a name ends at \0
    with pytest.raises(DataError, match="leads out of the folder"):
        unpack(archive)


def test_file_that_is_also_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=NAME):
        unpack(tar_of(tmp_path / "archive", {"a": b"file", "a/b": b"in folder"}))


@pytest.mark.parametrize(
    "content", [b"", b"not an archive", bytes(2000), b"\x1f\x8b broken"], ids=range(4)
)
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "archive").write_bytes(content)
    with pytest.raises(DataError, match=NAME):
        unpack(tmp_path / "archive")


def test_miniature_has_the_published_layout(tmp_path: Path) -> None:
    miniature = write_miniature(tmp_path)
    files = unpack(miniature.archive)
    assert {str(record["image"]) for record in miniature.records} == set(files)
    assert {name.split("/")[0] for name in files} == {"spaq_koniq", "livefb_liveitw_aigc"}
    assert all(content[:2] == b"\xff\xd8" for content in files.values())


def test_miniature_is_the_same_each_time(tmp_path: Path) -> None:
    first, second = (write_miniature(tmp_path / name) for name in "ab")
    assert first.archive.read_bytes() == second.archive.read_bytes()
    assert first.labels.read_bytes() == second.labels.read_bytes()
    assert io.BytesIO(first.archive.read_bytes()).getbuffer().nbytes % 512 == 0
