"""The steps of a run: forward, backward, all-reduce, update, report, save, stop."""

import math
import resource
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from qinstruct_trainer.contract import output_files
from qinstruct_trainer.contract.config import RunConfig
from qinstruct_trainer.contract.errors import NonFiniteLossError, Stopped
from qinstruct_trainer.contract.events import Step, StoppedEvent, emit, say
from qinstruct_trainer.contract.restarts import Restarts
from qinstruct_trainer.data.collate import Batch
from qinstruct_trainer.heartbeats import Heartbeat, Phase
from qinstruct_trainer.train.batches.loader import MicroBatches, batches_from
from qinstruct_trainer.train.checkpoint.write import CheckpointWriter
from qinstruct_trainer.train.engine import Engine
from qinstruct_trainer.train.metrics.eta import StepTimes
from qinstruct_trainer.train.metrics.flops import peak_flops, step_flops
from qinstruct_trainer.train.metrics.lost_time import LostTime
from qinstruct_trainer.train.metrics.metrics_file import append_metrics, truncate_metrics
from qinstruct_trainer.train.optimizer.lr_schedule import learning_rate, warmup_steps
from qinstruct_trainer.train.ranks import Ranks, gather_to_all, sum_over_ranks
from qinstruct_trainer.train.stop_signals import StopRequest, catch_stop_signals

_MAX_NAMED = 8  # records named in a message


@dataclass(frozen=True)
class _StepTotals:
    """Sums over all samples and ranks of a step, and what follows from them; alike on all ranks."""

    loss: float
    num_not_finite: float
    tokens: float
    tokens_squared: float
    images: float


class Loop:
    """Takes the steps of a run. `run` is a collective call."""

    def __init__(
        self,
        config: RunConfig,
        ranks: Ranks,
        engine: Engine,
        micro_batches: MicroBatches,
        checkpoints: CheckpointWriter,
        restarts: Restarts | None = None,
        heartbeat: Heartbeat | None = None,
    ):
        self._config = config
        self._ranks = ranks
        self._engine = engine
        self._micro_batches = micro_batches
        self._checkpoints = checkpoints
        self._num_steps = micro_batches.order.num_steps
        self._metrics = config.output / output_files.METRICS
        self._step_times = StepTimes()
        self._lost_time = LostTime(restarts)
        self._heartbeat = heartbeat or Heartbeat.unwatched()
        self._saved_at = time.monotonic()

    def run(self, done: int) -> None:
        """Take the steps after `done`; a checkpoint of the last one exists at the end.

        Raises:
            Stopped: a signal came or `stop_after_step` was reached; a checkpoint is saved.
            NonFiniteLossError: a loss or gradient is not finite; the step was not applied.
        """
        if self._ranks.is_main:
            truncate_metrics(self._metrics, done)
        batches = batches_from(self._micro_batches, done, self._ranks.device)
        with catch_stop_signals() as stop, closing(batches):
            for step in range(done + 1, self._num_steps + 1):
                self._step(step, batches)
                must_stop, must_save = self._agree(step, stop)
                is_end = must_stop or step == self._num_steps
                if is_end or must_save:
                    self._heartbeat.begin(Phase.SAVE, step)
                    self._checkpoints.save(self._engine, step, waits=is_end)
                    self._saved_at, stop.wants_save = time.monotonic(), False
                    # It may take minutes: a signal that came meanwhile must not cost another one.
                    must_stop, _ = self._agree(step, stop)
                if must_stop:
                    self._heartbeat.begin(Phase.SAVE, step)
                    self._checkpoints.finish()
                    if self._ranks.is_main:
                        emit(StoppedEvent(step=step, steps=self._num_steps))
                    raise Stopped(f"stopped after step {step}; the same command goes on from it")

    def _agree(self, step: int, stop: StopRequest) -> tuple[bool, bool]:
        """Whether to stop and whether to save now, alike on all ranks. A collective call.

        One rank that was asked to stop or to save does so for all; only rank 0's clock says when to
        save unasked. What all ranks have written meanwhile is published.
        """
        self._heartbeat.begin(Phase.AGREE, step)
        is_due = time.monotonic() - self._saved_at >= 60 * self._config.checkpoint.every_minutes
        stops, saves, have_written = sum_over_ranks(
            [
                stop.requested or step == self._config.stop_after_step,
                stop.wants_save or (self._ranks.is_main and is_due),
                self._checkpoints.has_written,
            ],
            self._ranks.device,
        )
        if have_written == self._ranks.world_size:
            self._heartbeat.begin(Phase.SAVE, step)
            self._checkpoints.publish()
        return stops > 0, saves > 0

    def _step(self, step: int, batches: Generator[Batch]) -> None:
        """Take step number `step`, counted from 1."""
        started = time.monotonic()
        values: list[Tensor] = []
        sizes = np.zeros(3)  # tokens, tokens squared, images
        passes = self._micro_batches.order.passes(step - 1)
        self._heartbeat.begin(Phase.LOAD, step)
        for batch in islice(batches, passes):
            self._heartbeat.begin(Phase.COMPUTE, step)
            is_last = len(values) + 1 == passes
            values.append(self._engine.forward_backward(batch, is_last=is_last))
            sizes += [batch.num_tokens, batch.squared_tokens, len(batch.pixel_values)]
            if not is_last:
                self._engine.end_pass()
                self._heartbeat.begin(Phase.LOAD, step)
        self._heartbeat.begin(Phase.REDUCE, step)
        losses: list[float] = torch.stack(values).tolist()  # here the host waits for the passes
        totals = self._all_reduce(losses, sizes)
        if totals.num_not_finite:
            self._raise_not_finite("loss", step, losses)
        rate = learning_rate(
            step - 1,
            peak=self._config.learning_rate,
            num_steps=self._num_steps,
            warmup=warmup_steps(self._num_steps, self._config.warmup_ratio),
        )
        self._heartbeat.begin(Phase.UPDATE, step)
        norm = self._engine.optimizer_step(rate)
        if not math.isfinite(norm):
            self._raise_not_finite("gradient", step, losses)
        seconds = time.monotonic() - started
        self._heartbeat.took(seconds)
        self._heartbeat.begin(Phase.REPORT, step)
        if self._ranks.is_main:
            self._report_step(step, totals, rate, norm, seconds)

    def _all_reduce(self, losses: list[float], sizes: npt.NDArray[np.float64]) -> _StepTotals:
        """Add up what the ranks have computed; before the update, which a NaN must not reach.

        The loss is the mean over ranks and their micro-batches, as the published trainer logs it.
        """
        sums = sum_over_ranks(
            [
                sum(losses) / self._micro_batches.order.accumulation / self._ranks.world_size,
                sum(not math.isfinite(loss) for loss in losses),
                *sizes.tolist(),
            ],
            self._ranks.device,
        )
        return _StepTotals(*sums)

    def _raise_not_finite(self, what: str, step: int, losses: list[float]) -> NoReturn:
        """Stop all ranks, naming the records whose loss is not finite, or all when each one is."""
        suspects = [
            record
            for forward, loss in enumerate(losses)
            if what == "gradient" or not math.isfinite(loss)
            for record in self._micro_batches.records(step - 1, forward)
        ]
        records = sorted(record for share in gather_to_all(suspects) for record in share)
        named = ", ".join(map(str, records[:_MAX_NAMED])) + (
            ", ..." if len(records) > _MAX_NAMED else ""
        )
        self._heartbeat.begin(Phase.SAVE, step)
        try:
            self._checkpoints.finish()  # it was taken before
        except Exception as error:  # noqa: BLE001 - the NaN is the reason, whatever else failed
            if self._ranks.is_main:
                say(str(error) or type(error).__name__)
        raise NonFiniteLossError(
            f"the {what} of step {step} is not finite (records {named}); the optimizer has not "
            "seen it, and the last checkpoint is good: lower training.learningRate, or look "
            "at these records and the starting checkpoint"
        )

    def _report_step(
        self, step: int, totals: _StepTotals, rate: float, norm: float, seconds: float
    ) -> None:
        self._step_times.add(seconds)
        device = self._ranks.device
        peak = peak_flops(device)
        flops = step_flops(
            self._engine.model.config,
            tokens=totals.tokens,
            squared=totals.tokens_squared,
            images=totals.images,
        )
        event = Step(
            step=step,
            steps=self._num_steps,
            loss=totals.loss,
            learning_rate=rate,
            gradient_norm=norm,
            tokens=int(totals.tokens),
            seconds=seconds,
            samples_per_second=self._config.global_batch_size / seconds,
            tokens_per_second=totals.tokens / seconds,
            eta_seconds=self._step_times.eta_seconds(self._num_steps - step),
            mfu=None if peak is None else flops / seconds / (peak * self._ranks.world_size),
            memory_bytes=_peak_memory(device),
            restarts=self._lost_time.count,
            lost_seconds=self._lost_time.seconds(step, time.time()),
        )
        append_metrics(self._metrics, event)
        emit(event)


def _peak_memory(device: torch.device) -> int:
    """Bytes: of the device, or of this process where there is none (getrusage counts KiB)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
