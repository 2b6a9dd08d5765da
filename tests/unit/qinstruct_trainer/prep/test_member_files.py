"""Members become files, several at a time; what is there already stays if it is the same."""

import hashlib
import io
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import IO

import pytest

from qinstruct_trainer.prep.member_files import Member, MemberFiles
from qinstruct_trainer.prep.progress import Progress
from qinstruct_trainer.prep.unit_manifest import MTIME_NS, WrittenFile


def member(path: str, content: bytes, *, crc: bool = False) -> Member:
    number = zlib.crc32(content) if crc else None
    return Member(PurePosixPath(path), len(content), lambda: io.BytesIO(content), number)


def progress() -> Progress:
    return Progress(lambda _: None, "extract", "images", "files")


def put(folder: Path, members: Iterable[Member], *, earlier: bool = False) -> dict[str, bytes]:
    """What is there afterwards; what is said of it is compared."""

    def places(path: PurePosixPath) -> tuple[Path, ...]:
        return (folder / path, folder.parent / "other" / path)

    with MemberFiles(folder, places if earlier else None, progress()) as files:
        for one in members:
            files.add(one)
        written = files.finish()
    there = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    for name, file in written.items():
        content = there[name]
        assert file == WrittenFile(len(content), hashlib.sha256(content).hexdigest())
    return there


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "folder"
    path.mkdir()
    return path


def test_many_are_written_whatever_their_sizes(folder: Path) -> None:
    contents = {f"{n % 7}/{n}": bytes([n % 251]) * (n * n * 20) for n in range(300)}
    assert put(folder, [member(*one) for one in contents.items()]) == contents
    assert {path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == {MTIME_NS}


@pytest.mark.parametrize("apart", [0, 200])
@pytest.mark.parametrize("earlier", [False, True])
def test_the_last_of_one_name_counts(folder: Path, apart: int, earlier: bool) -> None:
    between = [member(f"{number}", b"x") for number in range(apart)]
    there = put(folder, [member("a", b"first"), *between, member("a", b"next")], earlier=earlier)
    assert there["a"] == b"next"
    assert len(there) == 1 + apart


def test_one_that_can_be_read_once_is_written_at_once(folder: Path) -> None:
    content: IO[bytes] = io.BytesIO(b"large")
    with MemberFiles(folder, None, progress()) as files:
        files.add_now(Member(PurePosixPath("a/b"), 5, lambda: content))
        assert (folder / "a/b").read_bytes() == b"large"
        assert files.finish()["a/b"].num_bytes == 5


@pytest.mark.parametrize("crc", [False, True])
@pytest.mark.parametrize("place", ["folder", "other"])
def test_a_file_with_the_content_stays(place: str, crc: bool, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / place / "a" / "b"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"content")
    number = path.stat().st_ino
    assert put(folder, [member("a/b", b"content", crc=crc)], earlier=True) == {"a/b": b"content"}
    assert (folder / "a/b").stat().st_ino == number


@pytest.mark.parametrize("crc", [False, True])
@pytest.mark.parametrize("harm", [b"contenT", b"content"[:-1], b"content!", b""])
def test_a_file_with_another_content_is_written_again(harm: bytes, crc: bool, folder: Path) -> None:
    (folder / "b").write_bytes(harm)
    assert put(folder, [member("b", b"content", crc=crc)], earlier=True) == {"b": b"content"}


def test_the_bytes_of_another_name_are_not_taken(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs").write_bytes(b"content")
    (folder / "b").hardlink_to(tmp_path / "theirs")
    put(folder, [member("b", b"content")], earlier=True)
    assert (folder / "b").stat().st_ino != (tmp_path / "theirs").stat().st_ino


def test_what_cannot_be_read_ends_it(folder: Path) -> None:
    def fail() -> IO[bytes]:
        raise zlib.error("damaged")

    bad = Member(PurePosixPath("bad"), 1, fail)
    many = [member(str(number), b"x") for number in range(20_000)]
    with pytest.raises(zlib.error):
        put(folder, [*many[:20], bad, *many[20:]])
    assert len([*folder.iterdir()]) < 1_000, "it went on after the error"


def test_few_bytes_wait_to_be_written(folder: Path) -> None:
    """A reader that is faster than the disk must not fill the memory."""
    read = written = most = 0

    class Content(io.BytesIO):
        def close(self) -> None:
            nonlocal written
            written += 1
            super().close()

    with MemberFiles(folder, None, progress()) as files:
        for number in range(100):
            read += 1
            files.add(Member(PurePosixPath(str(number)), 4 << 20, lambda: Content(bytes(4 << 20))))
            most = max(most, read - written)
        files.finish()
    assert written == 100
    assert most <= 10
