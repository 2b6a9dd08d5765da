"""Archives that are small and become large: refused soon, with little memory and few files."""

import io
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from support.prep import archive_bombs as bombs

pytestmark = pytest.mark.slow

NAME = "q-instruct-images"
MEMORY = 300 << 20  # Python and the modules take 100 MB of it; each bomb would take more
UNPACK = f"""
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY}))
resource.setrlimit(resource.RLIMIT_CPU, (10, 10))
from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.prep.extract import extract
from qinstruct_trainer.prep.progress import Progress
archive = Path(sys.argv[1])
progress = Progress(lambda _: None, "extract", "{NAME}", "files")
try:
    extract(archive, "{NAME}", archive.parent / "unit" / "files", progress)
except DataError as error:
    print(error)
"""


def refusal(archive: Path) -> str:
    """The sentence, said by a process that may use little memory and few seconds."""
    child = subprocess.run(
        [sys.executable, "-c", UNPACK, str(archive)], capture_output=True, text=True, check=False
    )
    assert (child.returncode, child.stderr) == (0, "")
    return child.stdout.strip()


def num_made(archive: Path) -> int:
    return sum(1 for _ in (archive.parent / "unit").rglob("*"))


@pytest.mark.parametrize("content", bombs.TARS, ids=lambda content: content.__name__)
def test_a_tar_is_bounded_while_it_is_read(content: Callable[[], bytes], tmp_path: Path) -> None:
    archive = bombs.write_tar(tmp_path / "archive", content())
    said = refusal(archive)
    assert said.startswith(NAME)
    assert f"data.sources.{NAME}.url" in said
    assert len(said.splitlines()) == 1
    assert len(said) < 700
    assert num_made(archive) < 15_000


@pytest.mark.parametrize("squeeze", bombs.SQUEEZERS)
@pytest.mark.parametrize("content", [bombs.long_gnu_name, bombs.long_sparse_map])
def test_so_it_is_in_each_compression(
    content: Callable[[], bytes], squeeze: str, tmp_path: Path
) -> None:
    archive = bombs.write_tar(tmp_path / "archive", content(), squeeze)
    assert refusal(archive).startswith(NAME)


def test_an_xz_that_asks_for_a_gigabyte_of_memory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(bombs.xz_with_a_large_dictionary())
    assert "memory" in refusal(tmp_path / "archive").lower()


ZIPS: dict[str, Callable[[Path], Path]] = {
    "many empty files": lambda path: bombs.write_zip(path, (f"{n}.jpg" for n in range(60_000))),
    "many folders": lambda path: bombs.write_zip(
        path, (f"{n}/a/b/c/d/e/f/g/h.jpg" for n in range(9_000))
    ),
    "many folder members": lambda path: bombs.write_zip(path, (f"{n}/" for n in range(60_000))),
    "a deep folder": lambda path: bombs.write_zip(path, ["a/" * 2_000 + "b"]),
    "a long path": lambda path: bombs.write_zip(path, ["/".join(["a" * 200] * 15)]),
    "a table of contents": lambda path: bombs.write_zip_directory(path, 900_000),
    "bzip2": lambda path: bombs.write_zip_of_zeros(path, 300 << 20, zipfile.ZIP_BZIP2),
    "lzma": lambda path: bombs.write_zip_of_zeros(path, 300 << 20, zipfile.ZIP_LZMA),
    "deflate": lambda path: bombs.write_zip_of_zeros(path, 100 << 20, zipfile.ZIP_DEFLATED),
}


@pytest.mark.parametrize("write", ZIPS.values(), ids=ZIPS)
def test_a_zip_is_bounded_while_it_is_read(write: Callable[[Path], Path], tmp_path: Path) -> None:
    archive = write(tmp_path / "archive")
    said = refusal(archive)
    assert said.startswith(NAME)
    assert f"data.sources.{NAME}.url" in said
    assert num_made(archive) < 40_000


@pytest.mark.parametrize("kind", [kind for kind in bombs.SQUEEZERS if kind != "tar"])
def test_streams_of_nothing_take_no_more_time_than_their_bytes(kind: str, tmp_path: Path) -> None:
    """Each of them cost a copy of all that followed it in a chunk: a second for each megabyte."""
    content = bombs.header("a.jpg", 1) + bombs.blocks(b"x") + bytes(1024)
    squeeze = bombs.SQUEEZERS[kind]
    nothing = squeeze(b"")
    archive = tmp_path / "archive"
    archive.write_bytes(nothing * ((40 << 20) // len(nothing)) + squeeze(content))
    assert refusal(archive) == ""
    assert num_made(archive) == 2


@pytest.mark.parametrize(
    "records",
    [
        {"GNU.sparse.map": "0,1", "GNU.sparse.size": "60000000"},
        {"GNU.sparse.size": "60000000", "GNU.sparse.offset": "0", "GNU.sparse.numbytes": "1"},
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "60000000"},
    ],
    ids=["0.1", "0.0", "1.0"],
)
def test_a_file_with_holes_is_refused_in_each_spelling(
    records: dict[str, str], tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("a.jpg")
        member.size, member.pax_headers = 1024, records
        tar.addfile(member, io.BytesIO(b"1\n0\n1\n".ljust(1024, b"\0")))
    assert "a file with holes" in refusal(archive)
