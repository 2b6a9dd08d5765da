"""Errors of torch that have a known cause outside of our code, each as one sentence.

torch reports most of them as a plain RuntimeError, so that the text alone says what it is.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch
from torch import distributed

from qinstruct_trainer.contract.config import RunConfig
from qinstruct_trainer.contract.errors import GpuError, OutOfMemoryError, PeerLostError, RunError
from qinstruct_trainer.train.ranks import Ranks

_SAID_CHARS = 300

# How CUDA, its libraries, the driver and NCCL begin what they report.
_OF_GPU: Final = re.compile(
    r"CUDA (driver )?error|CUDA (initialization|unknown error|driver)|CUDA-capable|NVIDIA driver"
    r"|CUBLAS_STATUS_|CUSOLVER_STATUS_|CUSPARSE_STATUS_|CUFFT_|CUDNN_STATUS_|cuDNN error"
    r"|NCCL error|NCCL Error|nccl[A-Z]\w*Error|ncclInvalidUsage|NVML|NVLink|\bXid\b|\bECC\b"
    r"|Torch not compiled with CUDA"
)
# Wrong arguments to a sound GPU: whoever called it has a bug, and its traceback says who.
_OF_CALLER: Final = re.compile(
    r"device-side assert triggered|invalid (configuration )?argument"
    r"|CUBLAS_STATUS_(INVALID_VALUE|NOT_SUPPORTED)|CUDNN_STATUS_(BAD_PARAM|NOT_SUPPORTED)|ncclInvalidArgument"
)
_OF_MEMORY: Final = re.compile(r"out of memory|STATUS_ALLOC_FAILED|DefaultCPUAllocator")
# NCCL gives these names to an end of the other side too, and says so only in its last error.
_OF_PEER: Final = re.compile(
    r"remote process exited|ncclRemoteError|connection (closed|reset|refused)|broken pipe"
    r"|remote peer|time(d )?out|gloo",
    re.IGNORECASE,
)
_OF_FIT: Final = re.compile(
    r"no kernel image|invalid device function|driver version|driver on your system is too old"
    r"|no NVIDIA driver|driver mismatch|forward compatibility|not compiled with CUDA"
    r"|unsupported toolchain|PTX"
)
_OF_COUNT: Final = re.compile(r"invalid device ordinal|no CUDA-capable device|Duplicate GPU")


@contextmanager
def torch_errors(ranks: Ranks) -> Iterator[None]:
    """Turn what torch reports about memory, GPUs and other ranks into a sentence.

    Raises:
        OutOfMemoryError: the memory is too small.
        GpuError: a GPU, its driver or the link between GPUs failed.
        PeerLostError: a collective call failed, because another rank has ended.
    """
    try:
        yield
    except (RuntimeError, AssertionError) as error:
        known = explain_error(error, ranks)
        if known is None:
            raise
        raise known from error


def check_device(config: RunConfig, ranks: Ranks) -> None:
    """Refuse to train on CPUs what is planned for GPUs: the driver may be gone.

    Raises:
        GpuError: torch sees no GPU.
    """
    if config.size != "Tiny" and ranks.device.type != "cuda":
        raise _gpu_error("torch sees no CUDA-capable device", ranks)


def explain_error(error: Exception, ranks: Ranks) -> RunError | None:
    """The sentence for an error of torch that has a known cause; None for any other.

    Gloo reports a closed connection, and the CPU's allocator a lack of memory, as a plain
    RuntimeError with its name in the text.
    """
    text = str(error)
    of_gpu = isinstance(error, torch.AcceleratorError) or _OF_GPU.search(text) is not None
    if isinstance(error, torch.OutOfMemoryError) or (
        _OF_MEMORY.search(text) and (of_gpu or "DefaultCPUAllocator" in text)
    ):
        return OutOfMemoryError(
            f"rank {ranks.rank} needs more memory than its {ranks.device.type} has; lower "
            "training.microBatchSize, raise training.zeroStage, or turn on "
            "training.activationCheckpointing"
        )
    of_group = isinstance(error, distributed.DistError)
    if (of_group and not of_gpu) or "gloo" in text.lower() or (of_gpu and _OF_PEER.search(text)):
        return PeerLostError(
            f"rank {ranks.rank} lost another rank in the middle of a collective call; "
            "start the same command again: it goes on from the last checkpoint"
        )
    if of_gpu and not _OF_CALLER.search(text):
        return _gpu_error(text, ranks)
    return None


def _gpu_error(text: str, ranks: Ranks) -> GpuError:
    if _OF_FIT.search(text):
        way_out = (
            "the image and the driver or the GPU of the node do not fit each other: use a node "
            "with a newer driver, or an image that is made for it"
        )
    elif _OF_COUNT.search(text):
        way_out = (
            "the container has fewer working GPUs than the run has processes: look at "
            "`nvidia-smi -L` and the device plugin of the node"
        )
    else:
        way_out = (
            "this is the GPU, its driver or the link between GPUs, not the run: look for Xid in "
            "the kernel log of the node, keep runs away from it until it is mended"
        )
    return GpuError(
        f"rank {ranks.rank} cannot use its GPU {ranks.local_rank}: {_said(text)}; {way_out}, and "
        "start the same run again: it goes on from the last checkpoint"
    )


def _said(text: str) -> str:
    """What was reported, as part of a sentence: without the hints on how to debug kernels."""
    lines = [line.strip() for line in text.splitlines()]
    hints = ("CUDA kernel errors", "For debugging", "Compile with", "Search for", "Device-side")
    kept = [line for line in lines if line and not line.startswith((*hints, "Exception raised"))]
    return " ".join(kept)[:_SAID_CHARS].rstrip(". ;")
