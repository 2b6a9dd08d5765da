"""Images decoded as the gate does it, and nothing kept of them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from qinstruct_trainer.prep.images import Findings
from qinstruct_trainer.prep.pixels import PixelUnits
from qinstruct_trainer.prep.progress import Progress
from qinstruct_trainer.prep.unit_cache import UnitCache

_NO_ROOM: Final = 1 << 62  # bytes that are needed for other things: no pixels are stored


def examine_images(
    images: Sequence[str], roots: Sequence[Path], progress: Progress | None = None
) -> Findings:
    """What is wrong with images below some folders."""
    progress = progress or Progress(lambda _: None, "gate", "records", "files")
    with TemporaryDirectory() as folder:
        cache = UnitCache(Path(folder), "run", lambda _: None)
        keys = tuple(str(number) for number in range(len(roots)))
        units = PixelUnits(cache, tuple(roots), keys, 336, "1", reserve=_NO_ROOM)
        return units.examine(images, progress)


def examine_in(*roots: Path) -> Callable[[Sequence[str]], Findings]:
    """What the gate asks of the images below some folders."""
    return lambda images: examine_images(images, roots)
