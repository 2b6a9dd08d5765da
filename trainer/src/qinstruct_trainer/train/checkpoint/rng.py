"""Saves and restores the states of all random generators of a rank."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch


def save_rng(folder: Path, rank: int) -> None:
    """Write this rank's states into a checkpoint."""
    torch.save(_states(), _file(folder, rank))


def load_rng(folder: Path, rank: int) -> None:
    """Restore this rank's states from a checkpoint."""
    _restore(torch.load(_file(folder, rank), weights_only=True))


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
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))


def _file(folder: Path, rank: int) -> Path:
    return folder / f"rng-{rank:05d}.pt"
