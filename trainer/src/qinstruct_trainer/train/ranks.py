"""Who this process is among the ranks, and the process group they form."""

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

import torch
from torch import Tensor, distributed

from qinstruct_trainer.errors import ConfigError

# Long enough for a rank to write its share of a 13B checkpoint while the others wait.
_COLLECTIVE_TIMEOUT = timedelta(minutes=30)


@dataclass(frozen=True)
class Ranks:
    """This process's place; torchrun sets the environment it is read from."""

    rank: int
    local_rank: int
    world_size: int

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read RANK, LOCAL_RANK and WORLD_SIZE; without them this is the only process."""
        return cls(
            rank=int(env.get("RANK", "0")),
            local_rank=int(env.get("LOCAL_RANK", "0")),
            world_size=int(env.get("WORLD_SIZE", "1")),
        )

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


@contextmanager
def process_group(ranks: Ranks) -> Iterator[None]:
    """Join the ranks: NCCL on GPUs, gloo on CPUs."""
    import deepspeed  # noqa: PLC0415 - a second of start-up that other commands do not need
    import deepspeed.comm.torch  # noqa: F401, PLC0415

    _quiet(deepspeed.utils.logger)
    if ranks.device.type == "cuda":
        torch.cuda.set_device(ranks.device)
    else:
        # DeepSpeed would compile a shared-memory operator with g++ first; gloo needs none. Its
        # module is reached by name, because `deepspeed.comm.torch` resolves to torch itself.
        sys.modules["deepspeed.comm.torch"].build_shm_op = lambda: None  # type: ignore[attr-defined]
    for name, value in {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("RANK", str(ranks.rank))
    os.environ.setdefault("LOCAL_RANK", str(ranks.local_rank))
    os.environ.setdefault("WORLD_SIZE", str(ranks.world_size))
    deepspeed.init_distributed(
        dist_backend="nccl" if ranks.device.type == "cuda" else "gloo",
        auto_mpi_discovery=False,
        verbose=False,
        timeout=_COLLECTIVE_TIMEOUT,
    )
    try:
        yield
    finally:
        distributed.destroy_process_group()


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


def gather_to_all(value: dict[str, str]) -> dict[str, str]:
    """The union of all ranks' dictionaries, on every rank."""
    parts: list[dict[str, str]] = [{} for _ in range(distributed.get_world_size())]
    distributed.all_gather_object(parts, value)
    return {key: found for part in parts for key, found in part.items()}


def mean_tensor(tensor: Tensor) -> Tensor:
    """The mean over ranks, in place."""
    distributed.all_reduce(tensor)
    return tensor / distributed.get_world_size()


def _quiet(logger: logging.Logger) -> None:
    """DeepSpeed logs to stdout, which carries our events and nothing else."""
    logger.setLevel(logging.WARNING)
    for handler in logger.handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(sys.stderr)
