"""Kills a run of checkpoints at each of its file operations, and says what is then on the disk.

`python kill_points.py FOLDER KEEP` forks a process for each operation: it saves, damages the newest
checkpoint and resumes, twice over, until it is killed right before that operation. Another process
takes the run up, and is sometimes killed too; the last one must come to the end. Each gives one
`Moment`.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from qinstruct_trainer.contract.errors import RunError
from qinstruct_trainer.durable_files import sha256_of
from qinstruct_trainer.train.checkpoint.layout import (
    checkpoints_folder,
    partial_folders,
    published_folders,
    quarantined_folders,
    step_of,
)
from qinstruct_trainer.train.checkpoint.manifest import MANIFEST
from qinstruct_trainer.train.checkpoint.resume import resume
from qinstruct_trainer.train.checkpoint.write import CheckpointWriter
from support.checkpoints import IDENTITY, RANKS, TextEngine, group_of_one

LAST_STEP = 5
DAMAGED_AFTER = (2, 4)
_OPERATIONS = frozenset({"os.mkdir", "os.rename", "os.remove", "os.rmdir", "open"})
# The process that takes over is killed now and then too, at its first operations.
_SECOND_KILLS, _EVERY = 9, 4


class Moment(BaseModel):
    """What is on the disk when a process has ended.

    Attributes:
        killed_at: The operation before which the first process was killed.
        life: Which process of a run it was, from 1.
        finished: Whether it has come to its end.
        has_trained: Whether a checkpoint after step 0 has ever been published.
        published, partial, quarantined: Checkpoints, by step.
        intact: Those of `published` whose digests hold.
    """

    killed_at: int
    life: int
    finished: bool
    has_trained: bool
    published: list[int]
    partial: list[int]
    quarantined: list[int]
    intact: list[int]


def main(folder: Path, keep: int) -> None:
    """Print a `Moment` a process until a run is not killed any more."""
    number = 0
    finished = False
    while not finished:
        number += 1
        output = folder / f"run-{number}"
        output.mkdir()
        second = 1 + number % _SECOND_KILLS if number % _EVERY == 0 else None
        for life, limit in enumerate((number, second, None), 1):
            code = _in_a_fork(output, keep, limit)
            moment = _look(output, number, life, finished=code == 0)
            sys.stdout.write(moment.model_dump_json() + "\n")
            if life == 1:
                finished = code == 0
            if code == 0:
                break


def _in_a_fork(output: Path, keep: int, limit: int | None) -> int:
    """The exit code of a process that runs until it is killed; negative for a signal."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with group_of_one(output / f"store-{os.getpid()}"):
                _run(output, keep, limit)
            code = 0
        except RunError as error:
            sys.stderr.write(f"{error}\n")
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def _run(output: Path, keep: int, limit: int | None) -> None:
    """From the newest checkpoint to the last step, with damage on the way."""
    if limit is not None:
        _kill_before(limit, checkpoints_folder(output))
    sys.stdout = sys.stderr  # where the writer's events do not matter
    writer = CheckpointWriter(output, IDENTITY, keep, RANKS, lease=None)
    engine = TextEngine()
    done = resume(engine, output, IDENTITY, keep, RANKS)
    step = -1 if done is None else done
    while step < LAST_STEP:
        step += 1
        waits = step == LAST_STEP or step % 2 == 0  # as at an end; else beside the next step
        writer.save(TextEngine(str(step)), step, waits=waits)
        if step > 1:
            (output / "trained").touch()
        if step in DAMAGED_AFTER and not (output / f"damaged-{step}").exists():
            (output / f"damaged-{step}").touch()
            (checkpoints_folder(output) / f"step-{step:08d}" / "latest").write_text("wrong")
            again = resume(engine, output, IDENTITY, keep, RANKS)
            assert again is not None
            step = again


def _kill_before(limit: int, checkpoints: Path) -> None:
    """Kill this process before so many operations in the folder of the checkpoints."""
    done = 0

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal done
        if event not in _OPERATIONS or _only_reads(event, arguments):
            return
        if str(checkpoints) in str(arguments[0]) or _has_folder_descriptor(arguments):
            done += 1
            if done >= limit:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def _only_reads(event: str, arguments: tuple[Any, ...]) -> bool:
    return event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)


def _has_folder_descriptor(arguments: tuple[Any, ...]) -> bool:
    """As `shutil.rmtree` names what it deletes: below an open folder."""
    return isinstance(arguments[-1], int) and arguments[-1] >= 0


def _look(output: Path, number: int, life: int, *, finished: bool) -> Moment:
    checkpoints = checkpoints_folder(output)
    published = published_folders(checkpoints)
    return Moment(
        killed_at=number,
        life=life,
        finished=finished,
        has_trained=(output / "trained").exists(),
        published=[step_of(path) for path in published],
        partial=[step_of(path) for path in partial_folders(checkpoints)],
        quarantined=[step_of(path) for path in quarantined_folders(checkpoints)],
        intact=[step_of(path) for path in published if _is_intact(path)],
    )


def _is_intact(folder: Path) -> bool:
    """By a reading of our own: the one that is tested needs a process group."""
    manifest = json.loads((folder / MANIFEST).read_text())
    return all(sha256_of(folder / name) == digest for name, digest in manifest["files"].items())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
