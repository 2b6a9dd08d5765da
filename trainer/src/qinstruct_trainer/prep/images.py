"""The images that records name: found in the image folders, decoded by worker processes."""

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.images import verify_image
from qinstruct_trainer.parent_death import kill_worker_with_pool
from qinstruct_trainer.prep.progress import Progress

_IMAGES_PER_TASK = 16
_IN_PROCESS = 256  # images for which starting processes takes longer than decoding


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
    """
    progress.total = len(images)
    faults: dict[str, str] = {}
    for image, fault in zip(images, _examine_all(images, roots), strict=True):
        if fault is not None:
            faults[image] = fault
        progress.add()
    progress.finish()
    return faults


def _examine_all(images: Sequence[str], roots: Sequence[Path]) -> Iterator[str | None]:
    """What is wrong with each image, in processes where there are many.

    Threads do not help: Pillow decodes with the interpreter's lock held (12 MP JPEG: two threads
    are no faster than one). The processes are forks of a server that has imported this module
    once; a fork of this process, beside the lease's heartbeat thread, might lock up.
    """
    folders = tuple(roots)
    tasks = [(image, folders) for image in images]
    num_processes = len(os.sched_getaffinity(0))
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


def _examine(task: tuple[str, tuple[Path, ...]]) -> str | None:
    image, roots = task
    number = find_image(image, roots)
    if number is None:
        return str(DataError(f"image {image} is in none of the image archives"))
    try:
        verify_image(roots[number] / image)
    except DataError as error:
        return str(error)
    return None
