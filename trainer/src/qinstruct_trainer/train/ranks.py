"""The ranks: which one this process is, their process group and its collective calls."""

import logging
import os
import random
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self, TypeVar

import numpy as np
import torch
from torch import distributed

from qinstruct_trainer.contract.errors import ConfigError
from qinstruct_trainer.imports import without_collector

# Long enough for a rank to write its share of a 13B checkpoint while the others wait. A peer that
# dies is noticed at once, by its closed connection or by torchrun.
_COLLECTIVE_TIMEOUT = timedelta(minutes=30)
# Longer than a rank may be silent: the watch knows which one hangs, those that wait for it do not.
_WATCHED_TIMEOUT = timedelta(hours=4)

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """Which rank this process is, as torchrun says in the environment."""

    rank: int
    local_rank: int
    world_size: int

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read RANK, LOCAL_RANK and WORLD_SIZE.

        Raises:
            ConfigError: they are missing.
        """
        try:
            return cls(int(env["RANK"]), int(env["LOCAL_RANK"]), int(env["WORLD_SIZE"]))
        except KeyError as error:
            raise ConfigError(
                f"the environment has no {error.args[0]}; start training with "
                "python -m qinstruct_trainer.torchrun --nproc-per-node N -m qinstruct_trainer train"
            ) from error

    @property
    def is_main(self) -> bool:
        """Rank 0 prints the events and owns the output folder."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """This rank's GPU, or the CPU."""
        if torch.cuda.is_available():
            return torch.device("cuda", self.local_rank)
        return torch.device("cpu")


def check_world_size(ranks: Ranks, planned: int) -> None:
    """Refuse to train with another number of processes than planned.

    Raises:
        ConfigError: the numbers differ.
    """
    if ranks.world_size != planned:
        raise ConfigError(
            f"the run is planned for {planned} processes, but {ranks.world_size} were started; "
            f"start torchrun with --nproc-per-node {planned}, or plan the run again"
        )


def seed_generators(seed: int) -> None:
    """Seed every generator that a library may draw from; alike on all ranks, as published."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # the global one, as libraries use it
    torch.manual_seed(seed)


def compute_alike_each_time() -> None:
    """Have a GPU add up in the same order each time, so that a resumed run is the same run.

    By default the backward pass of attention adds up as its blocks happen to finish. An operator
    that cannot do it raises, in the first step.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read with cuBLAS' first call
    os.environ.setdefault("FLASH_ATTENTION_DETERMINISTIC", "1")  # read by transformers
    torch.use_deterministic_algorithms(True)
    # A check for bugs, which costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def load_deepspeed(device_type: str) -> Any:
    """DeepSpeed for a kind of device; it logs to stderr, and compiles nothing on its own."""
    # What DeepSpeed would find too, but without a warning on stdout that there is no GPU.
    os.environ.setdefault("DS_ACCELERATOR", device_type)
    with without_collector():
        import deepspeed
        import deepspeed.comm.torch
        import deepspeed.runtime.compiler

    log_to_stderr(deepspeed.utils.logger)
    # DeepSpeed calls what torch 2.13 renamed; a line for each call would bury the rest.
    warnings.filterwarnings("ignore", r"`torch\.distributed\..*is deprecated", FutureWarning)
    # NCCL takes the current device, which we set; torch would say so in each run's log.
    warnings.filterwarnings("ignore", r"barrier\(\): using the device under", UserWarning)
    if device_type == "cpu":
        # It would compile a shared-memory operator with g++ first; gloo needs none. The module is
        # reached by name, because `deepspeed.comm.torch` resolves to torch itself.
        sys.modules["deepspeed.comm.torch"].build_shm_op = lambda: None  # type: ignore[attr-defined]
    # To ask whether our optimizer is Muon it imports Muon, and with it torch's whole compiler.
    deepspeed.runtime.compiler.compile = lambda: deepspeed.runtime.compiler.dummy_decorator
    return deepspeed


@contextmanager
def process_group(ranks: Ranks, *, is_watched: bool = False) -> Iterator[None]:
    """Join the ranks: NCCL on GPUs, gloo on CPUs.

    Args:
        ranks: this process among all.
        is_watched: whether somebody else notices a rank that hangs.
    """
    deepspeed = load_deepspeed(ranks.device.type)
    on_gpu = ranks.device.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(ranks.device)
        compute_alike_each_time()
    deepspeed.init_distributed(
        dist_backend="nccl" if on_gpu else "gloo",
        auto_mpi_discovery=False,
        verbose=False,
        timeout=_WATCHED_TIMEOUT if is_watched else _COLLECTIVE_TIMEOUT,
    )
    yield
    # Not after an error: leaving the group waits for ranks that may be gone.
    distributed.destroy_process_group()


def wait_alike_in_all_groups() -> None:
    """Give every group the time-out of the ranks' own.

    DeepSpeed makes some without one, and they have torch's for their backend: 10 minutes with
    NCCL, less than a checkpoint may keep the others waiting.
    """
    own = distributed.group.WORLD
    backends = [own._get_backend(device) for device in own._device_types]  # type: ignore[union-attr]
    timeout = max(backend.options._timeout for backend in backends)
    for group in distributed.distributed_c10d._world.pg_map:
        distributed.distributed_c10d._set_pg_timeout(timeout, group)


def sum_over_ranks(values: list[float], device: torch.device) -> list[float]:
    """Add up numbers of all ranks; every rank gets the sums. float64, so that counts are exact."""
    tensor = torch.tensor(values, dtype=torch.float64, device=device)
    distributed.all_reduce(tensor)
    return [float(value) for value in tensor.tolist()]


def broadcast_text(text: str | None) -> str | None:
    """Rank 0's text on every rank."""
    box = [text]
    distributed.broadcast_object_list(box, src=0)
    return box[0]


def gather_to_all(value: T) -> list[T]:
    """Every rank's value, on every rank, in the order of the ranks."""
    parts: list[T] = [value] * distributed.get_world_size()
    distributed.all_gather_object(parts, value)
    return parts


def log_to_stderr(logger: logging.Logger) -> None:
    """DeepSpeed logs to stdout, which carries our events and nothing else."""
    logger.setLevel(logging.ERROR)
    for handler in logger.handlers:
        # Only what writes there: a handler may have been added that collects for somebody else.
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stdout:
            handler.setStream(sys.stderr)
