"""An archive of images: unpacked, whatever it is."""

import tempfile
from pathlib import Path
from typing import Final

from qinstruct_trainer.prep.extract import extract
from qinstruct_trainer.prep.progress import Progress

MEMORY: Final = 256 << 20  # xz alone may ask for 128 MiB
_NAME: Final = "q-instruct-images"
_MAX_ENTRIES: Final = 15_000
_MAX_BYTES: Final = (64 << 20) + (1 << 20)


def run(content: bytes) -> object:
    """What it unpacks to; nothing beside it, and no more than its size allows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive, unit = folder / "archive", folder / "unit"
        archive.write_bytes(content)
        progress = Progress(lambda _: None, "extract", _NAME, "files")
        try:
            extract(archive, _NAME, unit / "files", progress)
        finally:
            assert {path.name for path in folder.iterdir()} <= {"archive", "unit"}
            assert archive.read_bytes() == content
            made = list(unit.rglob("*"))
            assert len(made) <= _MAX_ENTRIES
            assert all(path.is_dir() or path.is_file() for path in made)
            assert not any(path.is_symlink() for path in made)
            size = sum(path.stat().st_size for path in made if path.is_file())
            assert size <= _MAX_BYTES + 100 * len(content)
        assert (unit / "files").is_dir()
        assert {path.name for path in unit.iterdir()} == {"files"}
        return progress.done
