"""The images that records name: found in the image folders, decoded by worker processes."""

import os
import unicodedata
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from urllib.parse import unquote

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.images import examine_image
from qinstruct_trainer.data.pixel_store import levels_bytes
from qinstruct_trainer.prep.image_finder import ImageFinder
from qinstruct_trainer.prep.processes import map_in_processes

_IMAGES_PER_TASK = 16
_IN_PROCESS = 256  # images for which starting processes takes longer than decoding
_DECODING = 3 << 30  # bytes; the largest image that is allowed takes 2.7 GB
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True)
class Target:
    """Where the pixels of images go: a file that is there, one image after another.

    Attributes:
        size: Edge of the square in pixels.
    """

    path: Path
    size: int


@dataclass(frozen=True)
class Decoded:
    """What the decode of an image found.

    Attributes:
        fault: Why it cannot be trained on; None: it can.
        is_destroyed: See `qinstruct_trainer.data.images.Examined`.
        crc: CRC-32 of the pixels that were stored; 0 where none were.
    """

    fault: str | None = None
    is_destroyed: bool = False
    crc: int = 0


@dataclass(frozen=True)
class Findings:
    """What is wrong with images; good ones are left out.

    Attributes:
        faults: Why an image that is missing or does not decode cannot be trained on.
        destroyed: Images of which the published pipeline makes white or black.
    """

    faults: dict[str, str]
    destroyed: tuple[str, ...]


def findings(
    images: Sequence[str], faults: Mapping[str, str], destroyed: Collection[str]
) -> Findings:
    """Those of these images, in their order."""
    return Findings(
        {image: faults[image] for image in images if image in faults},
        tuple(image for image in images if image in destroyed),
    )


def by_root(images: Sequence[str], roots: Sequence[Path]) -> tuple[dict[int, list[str]], list[str]]:
    """The images of each root that has one, and those that no root has."""
    in_root: dict[int, list[str]] = {}
    missing: list[str] = []
    finder = ImageFinder(roots)
    for image in images:
        number = finder.find(image)
        if number is None:
            missing.append(image)
        else:
            in_root.setdefault(number, []).append(image)
    return in_root, missing


def missing_faults(images: Sequence[str], roots: Sequence[Path]) -> dict[str, str]:
    """A sentence for each image that is not there, with the file that was probably meant."""
    near = _by_likeness(roots) if images else {}
    faults = {}
    for image in images:
        found = near.get(_likeness(image))
        hint = f"; {found} is there, {_difference(image, found)}" if found else ""
        faults[image] = str(DataError(f"image {image} is in none of the image archives{hint}"))
    return faults


def _by_likeness(roots: Sequence[Path]) -> dict[str, str]:
    """Every file's path below its root, by what is left of it without such differences."""
    return {
        _likeness(path): path
        for root in reversed(roots)
        for folder, _, names in os.walk(root)
        for path in (Path(folder, name).relative_to(root).as_posix() for name in names)
    }


def _likeness(path: str) -> str:
    return unicodedata.normalize("NFKC", unquote(path)).casefold()


def _difference(image: str, found: str) -> str:
    if image.casefold() == found.casefold():
        return "whose name has other upper and lower case"
    if unquote(image) == unquote(found):
        return "whose name is percent-encoded otherwise"
    return "whose name has other characters that look alike"


def decode_images(
    images: Sequence[str], root: Path, target: Target | None = None
) -> Iterator[Decoded]:
    """Decode every image, in processes where there are many, and keep the pixels if asked to.

    Threads would do as far as the interpreter's lock goes, but an image that makes a decoder
    crash, or takes all memory, would end prep without a word. The processes are forks of a server
    that has imported this module once; a fork of this process, beside the lease's heartbeat
    thread, might lock up.

    Raises:
        DataError: a process that decodes was killed.
        StorageError: an image cannot be read, which says nothing of what is in it.
        OSError: pixels cannot be written.
    """
    tasks = [_Task(image, root, number, target) for number, image in enumerate(images)]
    num_processes = min(len(os.sched_getaffinity(0)), max(1, memory_limit() // _DECODING))
    if len(tasks) <= _IN_PROCESS or num_processes == 1:
        yield from map(_decode, tasks)
        return
    killed = (
        "a process that decodes images was killed: the machine has too little memory for "
        f"{num_processes} of them, or an image makes the decoder crash; give prep more memory"
    )
    starts = range(0, len(tasks), _IMAGES_PER_TASK)
    batches = (tasks[start : start + _IMAGES_PER_TASK] for start in starts)
    yield from chain.from_iterable(
        map_in_processes(_decoder, batches, num_processes, killed, preload=__name__)
    )


def memory_limit(files: Sequence[str] = _LIMITS) -> int:
    """Bytes that this container may take; without a limit, all of the machine's."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    texts = [path.read_text("ascii").strip() for path in map(Path, files) if path.is_file()]
    return min([machine, *(int(text) for text in texts if text.isdecimal())])


@dataclass(frozen=True)
class _Task:
    image: str
    root: Path
    number: int
    target: Target | None


def _decoder() -> Callable[[Sequence[_Task]], list[Decoded]]:
    return _decode_all


def _decode_all(tasks: Sequence[_Task]) -> list[Decoded]:
    return [_decode(task) for task in tasks]


def _decode(task: _Task) -> Decoded:
    target = task.target
    try:
        examined = examine_image(task.root / task.image, target.size if target else None)
    except DataError as error:
        return Decoded(fault=str(error))
    if target is None or examined.levels is None:
        return Decoded(is_destroyed=examined.is_destroyed)
    content = examined.levels.data  # no copy
    _write(target, task.number, content)
    return Decoded(is_destroyed=examined.is_destroyed, crc=zlib.crc32(content))


def _write(target: Target, number: int, content: memoryview) -> None:
    with target.path.open("r+b") as file:
        file.seek(number * levels_bytes(target.size))
        file.write(content)
