"""The images that records name: found in the image folders, decoded by worker processes."""

import multiprocessing
import os
import unicodedata
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from urllib.parse import unquote

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.images import verify_image
from qinstruct_trainer.parent_death import kill_worker_with_pool
from qinstruct_trainer.prep.progress import Progress

_IMAGES_PER_TASK = 16
_MISSING = ""  # in the place of a fault, which is worded when all that are missing are known
_IN_PROCESS = 256  # images for which starting processes takes longer than decoding
_DECODING = 3 << 30  # bytes; the largest image that is allowed takes 2.7 GB
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def find_image(image: str, roots: Sequence[Path]) -> int | None:
    """The number of the first root that has the image."""
    return next((n for n, root in enumerate(roots) if (root / image).is_file()), None)


def image_faults(
    images: Sequence[str], roots: Sequence[Path], progress: Progress
) -> dict[str, str]:
    """What is wrong with each image that is missing or does not decode; good ones are left out.

    Args:
        images: Paths below a root.
        roots: Folders that an image may be in.
        progress: Counts the images checked.

    Raises:
        DataError: a process that decodes was killed.
        StorageError: an image cannot be read, which says nothing of what is in it.
    """
    progress.total = len(images)
    faults: dict[str, str] = {}
    for image, fault in zip(images, _examine_all(images, roots), strict=True):
        if fault is not None:
            faults[image] = fault
        progress.add()
    missing = [image for image, fault in faults.items() if fault == _MISSING]
    faults |= _missing_faults(missing, roots)
    progress.finish()
    return faults


def _missing_faults(images: Sequence[str], roots: Sequence[Path]) -> dict[str, str]:
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


def _examine_all(images: Sequence[str], roots: Sequence[Path]) -> Iterator[str | None]:
    """What is wrong with each image, in processes where there are many.

    Threads do not help: Pillow decodes with the interpreter's lock held (12 MP JPEG: two threads
    are no faster than one). The processes are forks of a server that has imported this module
    once; a fork of this process, beside the lease's heartbeat thread, might lock up.
    """
    folders = tuple(roots)
    tasks = [(image, folders) for image in images]
    num_processes = min(len(os.sched_getaffinity(0)), max(1, memory_limit() // _DECODING))
    if len(images) <= _IN_PROCESS or num_processes == 1:
        yield from map(_examine, tasks)
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    pool = ProcessPoolExecutor(num_processes, context, initializer=kill_worker_with_pool)
    try:
        yield from pool.map(_examine, tasks, chunksize=_IMAGES_PER_TASK)
    except BrokenProcessPool as error:
        raise DataError(
            "a process that decodes images was killed: the machine has too little memory for "
            f"{num_processes} of them, or an image makes the decoder crash; give prep more memory"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def memory_limit(files: Sequence[str] = _LIMITS) -> int:
    """Bytes that this container may take; without a limit, all of the machine's."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    texts = [path.read_text("ascii").strip() for path in map(Path, files) if path.is_file()]
    return min([machine, *(int(text) for text in texts if text.isdecimal())])


def _examine(task: tuple[str, tuple[Path, ...]]) -> str | None:
    image, roots = task
    number = find_image(image, roots)
    if number is None:
        return _MISSING
    try:
        verify_image(roots[number] / image)
    except DataError as error:
        return str(error)
    return None
