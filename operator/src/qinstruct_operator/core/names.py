"""Names of a run's children. A run's name has at most 48 characters (API), so all fit."""

from typing import Final

CACHE_CLAIM: Final = "qinstruct-cache"
"""The namespace's shared cache of published data and models."""

TINY_CACHE_CLAIM: Final = "qinstruct-cache-tiny"
"""The same for runs on built-in data alone: they must not wait for hundreds of gigabytes."""

MAX_TRAINING_NAME: Final = 54
"""Longest PyTorchJob: its Service `<job>-master-0` must stay within 63 characters."""


def config_name(run: str) -> str:
    """ConfigMap with prep.json and run.json."""
    return f"{run}-config"


def prep_name(run: str) -> str:
    """Job that prepares the data."""
    return f"{run}-prep"


def output_name(run: str) -> str:
    """Claim that receives checkpoints and the model."""
    return f"{run}-output"


def training_name(run: str, attempt: int) -> str:
    """Name of the training workload of one attempt.

    Raises:
        ValueError: attempt is below 1, or the name is too long for the training-operator.
    """
    name = f"{run}-{attempt}"
    if attempt < 1 or len(name) > MAX_TRAINING_NAME:
        raise ValueError(f"{name} cannot be the name of an attempt")
    return name
