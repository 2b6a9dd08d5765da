"""Is `--images` the folder that the images are below, and if not, which one near it is?"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import Final

from qinstruct_trainer.contract.errors import ConfigError
from qinstruct_trainer.data.records import Record
from qinstruct_trainer.file_kinds import special_kind
from qinstruct_trainer.prep.image_finder import ImageFinder
from qinstruct_trainer.report.read import Dataset

_NAMES: Final = 100  # images that are looked for in another folder
_RECORDS: Final = 10_000  # among which the first images are
_FOLDERS: Final = 1000  # looked into, of one that has many


def first_images(dataset: Dataset) -> list[str]:
    """Images that the first records name, if any do.

    Raises:
        DataError: the file is damaged.
    """
    rows = islice(dataset.rows() if dataset.rows else (), _RECORDS)
    images = (row.record.image for row in rows if isinstance(row.record, Record))
    return list(islice((image for image in images if image is not None), _NAMES))


def check_folder(folder: Path, images: Sequence[str]) -> None:
    """Refuse what is no folder.

    Args:
        folder: Of `--images`.
        images: Some that records name, by which the right folder is known.

    Raises:
        ConfigError: it is none.
        OSError: nobody can say.
    """
    if not folder.exists():
        raise ConfigError(f"--images {folder} is not there; {_way_out(folder, images)}")
    if not folder.is_dir():
        kind = special_kind(folder)
        what = kind.name if kind else "a file"
        raise ConfigError(f"--images {folder} is {what}; {_way_out(folder, images)}")


def none_of_them(folder: Path, images: Sequence[str]) -> ConfigError:
    """The sentence about a folder that has none of the images that were looked for."""
    others = f", nor any other of {len(images):,} images looked for" if len(images) > 1 else ""
    return ConfigError(
        f"--images {folder} has no {images[0]:.200}{others}; {_way_out(folder, images)}"
    )


def _way_out(folder: Path, images: Sequence[str]) -> str:
    for near in _near(folder.absolute()):
        with suppress(OSError):  # a folder of somebody else
            finder = ImageFinder((near,))
            for image in images[:_NAMES]:
                if finder.find(image) is not None:
                    return f"name {near}, which has {image:.200}"
    return "name the folder that the images' paths begin in"


def _near(folder: Path) -> Iterator[Path]:
    """The folder above, those below, those beside it."""
    return chain([folder.parent], _folders_in(folder), _folders_in(folder.parent))


def _folders_in(folder: Path) -> Iterable[Path]:
    try:
        return sorted(path for path in islice(folder.iterdir(), _FOLDERS) if path.is_dir())
    except OSError:
        return ()
