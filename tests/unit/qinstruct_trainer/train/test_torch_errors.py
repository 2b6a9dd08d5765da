from pathlib import Path

import pytest
import torch
from torch import distributed

from qinstruct_trainer.contract.errors import GpuError, OutOfMemoryError, PeerLostError, RunError
from qinstruct_trainer.train.ranks import Ranks
from qinstruct_trainer.train.torch_errors import check_device, explain_error, torch_errors
from support.training.run_configs import run_config

RANKS = Ranks(rank=11, local_rank=3, world_size=16)

# What torch adds to each error of CUDA.
HINTS = (
    "\nCUDA kernel errors might be asynchronously reported at some other API call, so the "
    "stacktrace below might be incorrect.\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1."
    "\nCompile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.\n"
)
NCCL = "NCCL error in: /pytorch/torch/csrc/distributed/c10d/NCCLUtils.cpp:94, "


@pytest.fixture(autouse=True)
def _without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


GPU_FAULTS: dict[str, tuple[Exception, str]] = {
    "ecc": (
        torch.AcceleratorError(f"CUDA error: uncorrectable ECC error encountered{HINTS}"),
        "cannot use its GPU 3: CUDA error: uncorrectable ECC error encountered; this is the GPU",
    ),
    "xid 79": (RuntimeError(f"CUDA error: unknown error{HINTS}"), "look for Xid in the kernel log"),
    "launch failure": (
        torch.AcceleratorError(f"CUDA error: unspecified launch failure{HINTS}"),
        "CUDA error: unspecified launch failure; this",
    ),
    "illegal address": (
        RuntimeError(f"CUDA error: an illegal memory access was encountered{HINTS}"),
        "an illegal memory access was encountered; this",
    ),
    "nvlink": (
        RuntimeError("CUDA error: uncorrectable NVLink error detected during the execution"),
        "NVLink error detected",
    ),
    "an accelerator error of another wording": (torch.AcceleratorError("it is gone"), "it is gone"),
    "driver call": (RuntimeError("CUDA driver error: invalid device context"), "driver error"),
    "cublas": (
        RuntimeError(
            "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx( handle, opa)`"
        ),
        "CUBLAS_STATUS_EXECUTION_FAILED when calling",
    ),
    "cublas at start": (
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(h)`"),
        "CUBLAS_STATUS_NOT_INITIALIZED",
    ),
    "cudnn": (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), "cuDNN error: CUDNN"),
    "nccl met cuda": (
        distributed.DistBackendError(
            f"{NCCL}unhandled cuda error (run with NCCL_DEBUG=INFO for details), NCCL version "
            "2.27.5\nncclUnhandledCudaError: Call to CUDA function failed.\nLast error:\nCuda "
            "failure 'uncorrectable ECC error encountered'"
        ),
        "Last error: Cuda failure 'uncorrectable ECC error encountered'; this is the GPU",
    ),
    "nccl met the system": (
        distributed.DistBackendError(
            f"{NCCL}unhandled system error, NCCL version 2.27.5\nncclSystemError: System call "
            "(e.g. socket, malloc) or external library call failed or device error.\nLast "
            "error:\nError: failed to allocate IB resources"
        ),
        "failed to allocate IB resources",
    ),
    "two ranks on one gpu": (
        distributed.DistBackendError(
            f"{NCCL}invalid usage (run with NCCL_DEBUG=WARN for details)\nncclInvalidUsage: This "
            "usually reflects invalid usage of NCCL library.\nLast error:\nDuplicate GPU detected :"
            " rank 1 and rank 0 both on CUDA device 1000"
        ),
        "the container has fewer working GPUs than the run has processes",
    ),
    "no such gpu": (
        torch.AcceleratorError(f"CUDA error: invalid device ordinal{HINTS}"),
        "the container has fewer working GPUs than the run has processes",
    ),
    "busy": (
        RuntimeError("CUDA error: CUDA-capable device(s) is/are busy or unavailable"),
        "busy or unavailable; this is the GPU",
    ),
    "no driver": (
        RuntimeError(
            "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and "
            "installed a driver from http://www.nvidia.com/Download/index.aspx"
        ),
        "the image and the driver or the GPU of the node do not fit each other",
    ),
    "old driver": (
        RuntimeError("The NVIDIA driver on your system is too old (found version 11040)."),
        "use a node with a newer driver",
    ),
    "a gpu that the image was not built for": (
        RuntimeError("CUDA error: no kernel image is available for execution on the device"),
        "do not fit each other",
    ),
    "torch without cuda": (AssertionError("Torch not compiled with CUDA enabled"), "not fit each"),
    "fabric manager": (
        RuntimeError("CUDA error: system not yet initialized"),
        "not yet initialized",
    ),
}


@pytest.mark.parametrize(("error", "part"), GPU_FAULTS.values(), ids=GPU_FAULTS)
def test_a_fault_of_the_machine_is_told_as_one_with_its_rank_and_the_way_out(
    error: Exception, part: str
) -> None:
    with pytest.raises(GpuError) as caught, torch_errors(RANKS):
        raise error
    said = str(caught.value)
    assert said.startswith("rank 11 cannot use its GPU 3: ")
    assert part in said
    assert said.endswith("start the same run again: it goes on from the last checkpoint")
    assert "\n" not in said
    assert "DSA" not in said
    assert (caught.value.reason, caught.value.exit_code) == ("GpuFailed", 71)


OTHERS: dict[str, tuple[Exception, type[RunError], str]] = {
    "memory": (torch.OutOfMemoryError("CUDA out of memory"), OutOfMemoryError, "microBatchSize"),
    "memory in another call": (
        torch.AcceleratorError(f"CUDA error: out of memory{HINTS}"),
        OutOfMemoryError,
        "rank 11 needs more memory",
    ),
    "memory of cublas": (
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        OutOfMemoryError,
        "rank 11 needs more memory",
    ),
    "memory of nccl": (
        distributed.DistBackendError(
            f"{NCCL}unhandled cuda error\nncclUnhandledCudaError: Call to CUDA function failed.\n"
            "Last error:\nFailed to CUDA calloc async 608 bytes: out of memory"
        ),
        OutOfMemoryError,
        "rank 11 needs more memory",
    ),
    "memory of the host": (
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate"),
        OutOfMemoryError,
        "rank 11 needs more memory than its cpu has",
    ),
    "gloo": (
        RuntimeError("[../gloo/transport/tcp/pair.cc:534] Connection closed by peer"),
        PeerLostError,
        "rank 11 lost another rank",
    ),
    "nccl lost its peer": (
        distributed.DistBackendError(
            f"{NCCL}remote process exited or there was a network error, NCCL version 2.27.5\n"
            "ncclRemoteError: A call failed possibly due to a network error or a remote process "
            "exiting prematurely."
        ),
        PeerLostError,
        "rank 11 lost another rank",
    ),
    "nccl lost its peer, by another name": (
        distributed.DistBackendError(
            f"{NCCL}internal error, NCCL version 2.27.5\nncclInternalError: Internal check failed."
            "\nLast error:\nNet : Connection closed by remote peer host<50260>"
        ),
        PeerLostError,
        "rank 11 lost another rank",
    ),
    "store": (distributed.DistNetworkError("Connection reset by peer"), PeerLostError, "rank 11"),
    "timeout": (distributed.DistBackendError("NCCL timeout"), PeerLostError, "rank 11"),
}


@pytest.mark.parametrize(("error", "kind", "part"), OTHERS.values(), ids=OTHERS)
def test_other_known_errors_of_torch(error: Exception, kind: type[RunError], part: str) -> None:
    explained = explain_error(error, RANKS)
    assert type(explained) is kind
    assert part in str(explained)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shape mismatch"),
        RuntimeError("Expected all tensors to be on the same device, but found cuda:0 and cpu!"),
        torch.AcceleratorError(f"CUDA error: device-side assert triggered{HINTS}"),
        RuntimeError("CUDA error: CUBLAS_STATUS_INVALID_VALUE when calling `cublasSgemm(handle)`"),
        torch.AcceleratorError(f"CUDA error: invalid configuration argument{HINTS}"),
        AssertionError("a row has no image"),
    ],
    ids=str,
)
def test_what_our_code_got_wrong_stays_a_bug_with_its_traceback(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, torch_errors(RANKS):
        raise error
    assert caught.value is error


def test_a_long_report_is_cut() -> None:
    explained = explain_error(RuntimeError("CUDA error: " + "x" * 9000), RANKS)
    assert len(str(explained)) < 700


def test_what_is_planned_for_gpus_is_not_trained_on_cpus(tmp_path: Path) -> None:
    tiny = run_config(tmp_path / "prepared.json", tmp_path)
    check_device(tiny, RANKS)
    with pytest.raises(GpuError, match="rank 11 cannot use its GPU 3: torch sees no CUDA-capable"):
        check_device(tiny.model_copy(update={"size": "13B"}), RANKS)
