"""A training run from its configuration to the finished model: the line that joins the parts."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import LlavaConfig
from transformers.utils.logging import disable_progress_bar

from qinstruct_trainer.contract import output_files
from qinstruct_trainer.contract.config import Prepared, RunConfig
from qinstruct_trainer.contract.events import Start, emit
from qinstruct_trainer.data import Index
from qinstruct_trainer.lease import Lease
from qinstruct_trainer.parent_death import signal_on_parent_death
from qinstruct_trainer.train.checkpoint.identity import Identity
from qinstruct_trainer.train.checkpoint.resume import resume
from qinstruct_trainer.train.checkpoint.retention import check_space
from qinstruct_trainer.train.checkpoint.write import CheckpointWriter
from qinstruct_trainer.train.engine import Engine
from qinstruct_trainer.train.export import (
    export,
    has_export,
    rehearse_export,
    say_whose_export,
)
from qinstruct_trainer.train.finish import finish
from qinstruct_trainer.train.loader import MicroBatches
from qinstruct_trainer.train.loop import Loop
from qinstruct_trainer.train.order import SampleOrder
from qinstruct_trainer.train.ranks import (
    Ranks,
    check_world_size,
    process_group,
    seed_generators,
)


def train(config: RunConfig) -> None:
    """Train, export and evaluate; go on from wherever the last attempt stopped.

    Runs in every process that torchrun starts. Rank 0 emits the events.

    Raises:
        RunError: any of its kinds; `Stopped` after a checkpoint when asked to stop.
    """
    # A rank that outlived its launcher would hold its GPU and the output folder.
    signal_on_parent_death(signal.SIGKILL)
    disable_progress_bar()  # type: ignore[no-untyped-call] # of loading weights: we have events
    ranks = Ranks.from_env(os.environ)
    check_world_size(ranks, config.world_size)
    prepared = Prepared.read(config.prepared)
    index = Index.open(prepared.index)
    identity = Identity.of(config, prepared, index)
    with _lease(config, ranks) as lease:
        if not has_export(config.output, identity):
            _train_and_export(config, prepared, index, identity, ranks, lease)
        if ranks.is_main:
            finish(config, prepared, ranks.device)


@contextmanager
def _lease(config: RunConfig, ranks: Ranks) -> Iterator[Lease | None]:
    """The right to write the output folder, held by rank 0.

    A holder that is surely alive is an error; one that may be dead is waited for until it is
    stale, as after a node was lost.
    """
    if not ranks.is_main:
        yield None
        return
    with Lease.acquire(config.output / output_files.LEASE, config.run, wait=False) as lease:
        yield lease


def _train_and_export(
    config: RunConfig,
    prepared: Prepared,
    index: Index,
    identity: Identity,
    ranks: Ranks,
    lease: Lease | None,
) -> None:
    seed_generators(config.seed)
    model_config = LlavaConfig.from_pretrained(prepared.model)
    text: Any = model_config.text_config
    vision: Any = model_config.vision_config
    order = SampleOrder.of(config, index.modality_lengths)
    dataset = MicroBatches(index, order, ranks.rank, vision.image_size)
    with process_group(ranks):
        engine = Engine(config, prepared.model, text.hidden_size, ranks)
        checkpoints = CheckpointWriter(
            config.output, identity, config.checkpoint.keep, ranks, lease
        )
        done = resume(engine, config.output, identity, ranks)
        if done is None:
            # A full disk or an unwritable config must not come to light after 21 hours.
            rehearse_export(engine, prepared, config.output, ranks)
            checkpoints.save(engine, 0)
            check_space(config.output)
            done = 0
        if ranks.is_main:
            emit(
                Start(
                    step=done,
                    steps=order.num_steps,
                    world_size=ranks.world_size,
                    num_records=len(index),
                    parameters=engine.parameters.total,
                    trainable=engine.parameters.trainable,
                    device=str(ranks.device.type),
                )
            )
        Loop(config, model_config, ranks, engine, dataset, checkpoints).run(done)
        if ranks.is_main:
            say_whose_export(config.output, identity)
        export(engine, config, prepared, index, ranks, lease)
