"""A training run from its configuration to the finished model; joins the parts."""

import faulthandler
import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import torch
from transformers.utils.logging import disable_progress_bar

from qinstruct_trainer.contents import check_attention
from qinstruct_trainer.contract import output_files
from qinstruct_trainer.contract.config import Prepared, RunConfig
from qinstruct_trainer.contract.events import Complete, Start, emit
from qinstruct_trainer.contract.restarts import Restarts
from qinstruct_trainer.data.index.reader import Index
from qinstruct_trainer.data.pixel_store import PixelStore
from qinstruct_trainer.heartbeats import Heartbeat, Phase
from qinstruct_trainer.lease import Lease
from qinstruct_trainer.model.configuration import open_config
from qinstruct_trainer.parent_death import signal_on_parent_death
from qinstruct_trainer.storage_errors import storage_errors
from qinstruct_trainer.train.batches.loader import MicroBatches
from qinstruct_trainer.train.batches.packed import order_of
from qinstruct_trainer.train.checkpoint.identity import Identity
from qinstruct_trainer.train.checkpoint.resume import resume
from qinstruct_trainer.train.checkpoint.retention import check_space
from qinstruct_trainer.train.checkpoint.write import CheckpointWriter
from qinstruct_trainer.train.context import RunContext
from qinstruct_trainer.train.engine import Engine
from qinstruct_trainer.train.loop import Loop
from qinstruct_trainer.train.metrics.loss_curve import draw_loss_curve
from qinstruct_trainer.train.ranks import (
    Ranks,
    check_world_size,
    process_group,
    seed_generators,
)
from qinstruct_trainer.train.result.evaluation import evaluate_result
from qinstruct_trainer.train.result.export import (
    export,
    export_folder,
    has_export,
    preflight_export,
    write_export_identity,
)
from qinstruct_trainer.train.result.record import write_record
from qinstruct_trainer.train.torch_errors import check_device, torch_errors

_STDERR = 2  # whatever Python has in its place


def train(config: RunConfig) -> None:
    """Train, export and evaluate; go on from wherever the last attempt stopped.

    Runs in every process that torchrun starts. Rank 0 emits the events.

    Raises:
        RunError: any of its kinds; `Stopped` after a checkpoint when asked to stop.
    """
    # A rank that outlived its launcher would hold its GPU and the output folder.
    signal_on_parent_death(signal.SIGKILL)
    # The stacks of all threads to the log, also by hand: `kill -USR1`. C code writes them, even
    # where the interpreter hangs.
    faulthandler.register(signal.SIGUSR1, file=_STDERR)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # until there is something to save
    disable_progress_bar()  # type: ignore[no-untyped-call] # of loading weights: we have events
    ranks = Ranks.from_env(os.environ)
    heartbeat = Heartbeat.of(os.environ, ranks.rank)
    heartbeat.begin(Phase.START)
    check_world_size(ranks, config.world_size)
    check_device(config, ranks)
    check_attention(config.attention)
    prepared = Prepared.read(config.prepared)
    index = Index.open(prepared.index)
    identity = Identity.of(config, prepared, index)
    with _lease(config, ranks) as lease, torch_errors(ranks):
        if not has_export(config.output, identity):
            run = RunContext(config, prepared, index, identity, ranks, lease, heartbeat)
            _train_and_export(run)
        if ranks.is_main:
            heartbeat.begin(Phase.EVALUATE)
            _describe_result(config, prepared, ranks.device)
    heartbeat.end()


@contextmanager
def _lease(config: RunConfig, ranks: Ranks) -> Iterator[Lease | None]:
    """The right to write the output folder, held by rank 0.

    A holder that is known to be alive is an error. One that may be dead, as after the loss of a
    node, is waited for until its lease is stale.
    """
    if not ranks.is_main:
        yield None
        return
    with Lease.acquire(config.output / output_files.LEASE, config.run, wait=False) as lease:
        yield lease


def _train_and_export(run: RunContext) -> None:
    config, ranks, heartbeat = run.config, run.ranks, run.heartbeat
    seed_generators(config.seed)
    model_config = open_config(run.prepared.model)
    text: Any = model_config.text_config
    vision: Any = model_config.vision_config
    order = order_of(config, run.index)
    pixels, size = run.prepared.pixels, vision.image_size
    store = PixelStore.open(pixels, size) if pixels else None
    micro_batches = MicroBatches(run.index, order, ranks.rank, size, store)
    restarts = Restarts.read(os.environ)
    heartbeat.begin(Phase.JOIN)
    with process_group(ranks, is_watched=heartbeat.is_watched):
        heartbeat.begin(Phase.MODEL)
        engine = Engine(config, run.prepared.model, text.hidden_size, ranks)
        keep = config.checkpoint.keep
        writer = CheckpointWriter(config.output, run.identity, keep, ranks, run.lease)
        with closing(writer) as checkpoints:
            heartbeat.begin(Phase.RESUME)
            done = resume(engine, config.output, run.identity, keep, ranks, run.lease)
            if done is None:
                heartbeat.begin(Phase.SAVE)
                # A full disk or an unwritable config must not come to light after 21 hours.
                preflight_export(engine, run)
                checkpoints.save(engine, 0)
                done = 0
            if done < order.num_steps:
                check_space(config.output, keep)
            if ranks.is_main:
                _say_start(run, engine, done, order.num_steps, restarts)
            Loop(config, ranks, engine, micro_batches, checkpoints, restarts, heartbeat).run(done)
        heartbeat.begin(Phase.EXPORT)
        if ranks.is_main:
            write_export_identity(config.output, run.identity)
        export(engine, run)


def _say_start(
    run: RunContext, engine: Engine, done: int, steps: int, restarts: Restarts | None
) -> None:
    emit(
        Start(
            step=done,
            steps=steps,
            world_size=run.ranks.world_size,
            num_records=len(run.index),
            parameters=engine.parameters.total,
            trainable=engine.parameters.trainable,
            device=str(run.ranks.device.type),
            restarts=restarts.count if restarts else None,
        )
    )


def _describe_result(config: RunConfig, prepared: Prepared, device: torch.device) -> None:
    """Write evaluation, loss curve and record; what an earlier attempt has computed is kept."""
    output = config.output
    with storage_errors(f"the result in {output}"):
        if prepared.heldout is not None:
            evaluate_result(output, prepared.model, prepared.heldout)
        draw_loss_curve(output / output_files.METRICS, output / output_files.LOSS_CURVE)
        write_record(config, prepared, device)
    emit(Complete(model=str(export_folder(output))))
