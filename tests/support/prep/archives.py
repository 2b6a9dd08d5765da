"""Archives that a test packs, and what becomes of them."""

import tarfile
from pathlib import Path

from qinstruct_trainer.prep.extract import extract
from qinstruct_trainer.prep.progress import Progress
from support.prep.miniature import add_file

NAME = "q-instruct-images"


def unpack(archive: Path) -> dict[str, bytes]:
    """The files of an unpacked archive, by their paths."""
    target = archive.parent / "unit" / "files"
    extract(archive, NAME, target, Progress(lambda _: None, "extract", NAME, "files"))
    paths = [path for path in (archive.parent / "unit").rglob("*") if path.is_file()]
    return {path.relative_to(target).as_posix(): path.read_bytes() for path in paths}


def tar_of(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    """A tar archive of these files."""
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            add_file(tar, name, content)
    return path
