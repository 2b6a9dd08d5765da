"""How much disk a run needs, in bytes: the shared cache and the run's own claim."""

import math
from typing import Final

from qinstruct_operator.api.spec import Spec
from qinstruct_operator.catalog.sizes import (
    CHECKPOINT_BYTES,
    PIXEL_BYTES,
    SIZES,
    WEIGHT_BYTES,
    Network,
)
from qinstruct_operator.core.plan.sources import num_images, source_names
from qinstruct_trainer.contract.config import Source
from qinstruct_trainer.contract.data_bytes import data_bytes

GIBIBYTE: Final = 2**30
_OTHER_OUTPUT_BYTES = 1_000_000_000  # vision tower, tokenizer, logs, reports
_TINY_BYTES = GIBIBYTE  # a model of about a million parameters, and its built-in data


def cache_bytes(
    sources: tuple[Source, ...], network: Network | None, *, keep_archives: bool = False
) -> int:
    """What a run adds to an empty cache.

    The data, and the starting model beside its converted form (2 x, bf16). Decoded pixels do not
    count: they take what is left (`pixel_bytes`).
    """
    model = 2 * WEIGHT_BYTES * network.parameters if network else _TINY_BYTES
    return data_bytes(sources, keep_archives=keep_archives) + model


def pixel_bytes(spec: Spec) -> int | None:
    """What the store of decoded images takes, at most; 0: none is wanted; None: nobody can tell.

    A run needs none of it: prep makes the store if all of it fits when the data are there.
    """
    if spec.data.pixel_store == "Never":
        return 0
    names = source_names(spec.size, spec.strategy, spec.data.sources)
    images = num_images(names, spec.data.sources)
    has_clip = SIZES[spec.size].network is not None
    return PIXEL_BYTES * images if images is not None and has_clip else None


def checkpoint_bytes(network: Network | None) -> int:
    """One checkpoint."""
    return CHECKPOINT_BYTES * network.parameters if network else _TINY_BYTES // 8


def output_bytes(network: Network | None, keep: int) -> int:
    """The run's claim: the checkpoints that may be there at one moment, and the export.

    Those are the kept ones, the one being written, and a damaged one that was set aside
    (`qinstruct_trainer.train.checkpoint.retention`).
    """
    export = WEIGHT_BYTES * network.parameters + _OTHER_OUTPUT_BYTES if network else _TINY_BYTES
    return (keep + 2) * checkpoint_bytes(network) + export


def least_output_bytes(network: Network | None, keep: int) -> int:
    """What the run's folder holds without anything damaged: a volume with less stops the run.

    Less than the claim, of which a file system keeps a part for itself. 0 for size Tiny.
    """
    if network is None:
        return 0
    return (keep + 1) * checkpoint_bytes(network) + WEIGHT_BYTES * network.parameters


def quantity(num_bytes: int) -> str:
    """The Kubernetes quantity that holds so many bytes, in whole gibibytes."""
    return f"{math.ceil(num_bytes / GIBIBYTE)}Gi"
