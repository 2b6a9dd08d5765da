"""Resumes a run from its newest verified checkpoint; it never begins again by itself."""

from collections.abc import Sequence
from pathlib import Path

from torch import distributed

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.contract.events import say
from qinstruct_trainer.lease import Lease
from qinstruct_trainer.storage_errors import storage_errors
from qinstruct_trainer.train.checkpoint.history import saved_after_step_0, traces_of_training
from qinstruct_trainer.train.checkpoint.identity import Identity
from qinstruct_trainer.train.checkpoint.layout import checkpoints_folder, published_folders, step_of
from qinstruct_trainer.train.checkpoint.quarantine import set_aside
from qinstruct_trainer.train.checkpoint.retention import delete_partial, discard, prune
from qinstruct_trainer.train.checkpoint.rng import load_rng
from qinstruct_trainer.train.checkpoint.verify import verified_manifest
from qinstruct_trainer.train.engine import Engine
from qinstruct_trainer.train.ranks import Ranks, broadcast_text


def resume(
    engine: Engine,
    output: Path,
    identity: Identity,
    keep: int,
    ranks: Ranks,
    lease: Lease | None = None,
) -> int | None:
    """Load the newest verified checkpoint; its step, or None for a run that has yet to begin.

    Then, not before, incomplete and superfluous checkpoints are deleted, and damaged ones set
    aside. A collective call.

    Raises:
        ConfigError: the checkpoint belongs to a run with other values; nothing was changed.
        DataError: the run has trained, but there is nothing that it can go on from; nothing was
            changed.
        OutputBusyError: another process took over the output folder; nothing was changed.
        StorageError: the disk is full or broken.
    """
    checkpoints = checkpoints_folder(output)
    damaged: list[Path] = []
    intact: Path | None = None
    for folder in _published(checkpoints):
        manifest = verified_manifest(folder, ranks)
        if manifest is not None:
            identity.check(manifest.identity, folder)
            intact = folder
            break
        damaged.append(folder)
    # Rank 0 alone looks and decides: on a network volume the others may see other names.
    refusal = broadcast_text(_refusal(output, damaged, intact) if ranks.is_main else None)
    if refusal is not None:
        raise DataError(refusal)
    if intact is not None:
        engine.load(intact)
        load_rng(intact, ranks.rank)
    distributed.barrier()  # every rank has read its share
    if ranks.is_main:
        if lease is not None:
            lease.check()  # reading took minutes: what looks incomplete may be another's save
        with storage_errors(f"the folder {checkpoints}"):
            _tidy(checkpoints, damaged, intact, keep)
    distributed.barrier()
    return None if intact is None else step_of(intact)


def _published(checkpoints: Path) -> list[Path]:
    """The published checkpoints as rank 0 sees them, newest first."""
    names = broadcast_text("\n".join(path.name for path in published_folders(checkpoints)))
    return [checkpoints / name for name in reversed((names or "").split())]


def _refusal(output: Path, damaged: Sequence[Path], intact: Path | None) -> str | None:
    """Why the run cannot go on without losing what it has trained, and the way out; else None."""
    checkpoints = checkpoints_folder(output)
    if intact is None:
        found, traces = "no intact checkpoint", traces_of_training(output)
    elif step_of(intact) == 0:
        found, traces = "no intact checkpoint but that of step 0", saved_after_step_0(checkpoints)
    else:
        return None
    if not traces:
        return None
    names = f" ({', '.join(path.name for path in damaged)}: damaged)" if damaged else ""
    trace = " and ".join(map(str, traces))
    return (
        f"{checkpoints} has {found}{names}, but this run has trained: {trace} says so; it does not "
        f"begin again by itself: put an intact checkpoint back, or delete {trace} to begin at "
        "step 0, or give the run another name"
    )


def _tidy(checkpoints: Path, damaged: Sequence[Path], intact: Path | None, keep: int) -> None:
    """Leave at most `keep` checkpoints, all of them intact as far as is known, and one aside."""
    delete_partial(checkpoints)
    for folder in damaged:
        if folder is damaged[0] and intact is not None and step_of(folder):
            what = f"was moved to {set_aside(checkpoints, folder)}"
        else:
            discard(folder)
            what = "was deleted"
        goes_on = f"goes on from {intact.name}" if intact is not None else "begins at step 0"
        say(f"the checkpoint {folder} is damaged and {what}; the run {goes_on}")
    prune(checkpoints, keep)
