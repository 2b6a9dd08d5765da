"""Saves and restores the states of all random generators of a rank."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.model.torch_files import read_torch_file
from qinstruct_trainer.train.state_files import WriteState, write_state


def save_rng(folder: Path, rank: int, write: WriteState = write_state) -> None:
    """Have this rank's states written into a checkpoint."""
    write(_file(folder, rank), _states())


def load_rng(folder: Path, rank: int) -> None:
    """Restore this rank's states from a checkpoint.

    Raises:
        DataError: they are none.
    """
    file = _file(folder, rank)
    way_out = f"delete {folder} to go on from the checkpoint before it"
    try:
        _restore(read_torch_file(file))
    except DataError as error:
        raise DataError(f"{error}; {way_out}") from error
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise DataError(f"{file} holds no states of random generators; {way_out}") from error


def _states() -> dict[str, Any]:
    """The states now, in types that torch.load takes with `weights_only`."""
    version, internal, gauss = random.getstate()
    name, keys, *rest = np.random.get_state()  # the global one, as libraries use it
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "python": [version, list(internal), gauss],
        "numpy": [str(name), torch.from_numpy(np.asarray(keys, np.int64)), *rest],
    }


def _restore(state: dict[str, Any]) -> None:
    """Set the states that `_states` returned."""
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
    version, internal, gauss = state["python"]
    if not isinstance(gauss, float | None):  # Python takes anything, and fails at the next draw
        raise TypeError("the second of a pair of normal numbers")
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, *rest = state["numpy"]
    if not 0 <= position <= len(keys):  # numpy would read the memory beside its state
        raise ValueError("the position of numpy's generator")
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, *rest))


def _file(folder: Path, rank: int) -> Path:
    return folder / f"rng-{rank:05d}.pt"
