"""Two ranks under each ZeRO stage compute what one process computes without DeepSpeed.

At what the 7B and 13B runs have and the tiny one has not: heads of 128, 700 positions, a tower of
24 x 24 patches, bf16. Equal means bit for bit. Everything is computed as in training: the same
kernels on the same shapes, so that no rounding can differ; ZeRO-3 has a linear layer of its own
(product and bias are rounded one by one), which the reference then takes too. One case has a
bound instead: MKL's float32 products add up in an order that depends on where memory is aligned,
which a shard that was gathered is not.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from deepspeed.runtime.zero.linear import zero3_linear_wrap
from torch.nn import functional

from qinstruct_trainer.contract.config import Precision, Prepared, RunConfig, ZeroStage
from qinstruct_trainer.model.llava import load_checked
from support.training import zero_worker
from support.training.heads import LENGTH, Seen, heads_batch, plain_pass, write_heads
from support.training.run_configs import run_config

pytestmark = pytest.mark.slow

STAGES: tuple[ZeroStage, ...] = (1, 2, 3)
PRECISIONS: tuple[Precision, ...] = ("bf16", "fp32")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_heads(tmp_path_factory.mktemp("heads"))


@pytest.fixture(scope="module")
def batches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A batch for each of two ranks: 700 positions, an image; the second one shorter."""
    path = tmp_path_factory.mktemp("batches") / "batches.pt"
    torch.save([heads_batch(LENGTH), heads_batch(LENGTH - 40, seed=2)], path)
    return path


@pytest.fixture(scope="module")
def trained(
    prepared: Path, batches: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[ZeroStage, Precision], list[Seen]]:
    """What each of two ranks has seen, by stage and precision."""
    root = tmp_path_factory.mktemp("zero")
    # ZeRO-3 last: it replaces torch's linear function for the rest of the process.
    keys = [(stage, precision) for stage in STAGES for precision in PRECISIONS]
    configs = [_config(prepared, root / f"{stage}-{name}", stage, name) for stage, name in keys]
    paths = [config.output / "run.json" for config in configs]
    for path, config in zip(paths, configs, strict=True):
        path.parent.mkdir()
        path.write_text(config.to_json())
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "qinstruct_trainer.torchrun", "--nproc-per-node=2"]
    arguments = [zero_worker.__file__, str(batches), *map(str, paths)]
    subprocess.run([*command, *arguments], env=environment, check=True, timeout=500)
    return {
        key: [_load(config.output / f"{rank}.pt") for rank in range(2)]
        for key, config in zip(keys, configs, strict=True)
    }


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("stage", STAGES)
def test_buffers_are_those_of_the_checkpoint_loaded_plainly(
    stage: ZeroStage,
    precision: Precision,
    prepared: Path,
    trained: Mapping[tuple[ZeroStage, Precision], list[Seen]],
) -> None:
    plain = load_checked(Prepared.read(prepared).model, precision=precision)
    expected = dict(plain.named_buffers())
    for seen in trained[stage, precision]:
        assert seen["buffers"].keys() == expected.keys()
        for name, buffer in expected.items():
            assert seen["buffers"][name].dtype == buffer.dtype, name
            assert torch.equal(seen["buffers"][name], buffer), name


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("stage", STAGES)
def test_logits_losses_and_gradients_are_those_of_a_process_without_deepspeed(
    stage: ZeroStage,
    precision: Precision,
    prepared: Path,
    batches: Path,
    trained: Mapping[tuple[ZeroStage, Precision], list[Seen]],
) -> None:
    ranks = trained[stage, precision]
    with _kernels_of(stage):
        references = [plain_pass(prepared, precision, batch) for batch in _load(batches)]
    for seen, reference in zip(ranks, references, strict=True):
        assert torch.equal(seen["logits"], reference["logits"])
        assert seen["loss"] == reference["loss"]
    # Each rank halves its own before they are added up, which is exact in binary.
    first, second = (reference["gradients"] for reference in references)
    for seen in ranks:
        assert seen["gradients"].keys() == first.keys()
        for name, gradient in seen["gradients"].items():
            mean = first[name] / 2 + second[name] / 2
            # Sums over at most LENGTH positions (Higham, Accuracy and Stability, 3.1).
            bound = LENGTH * 2.0**-24 if (stage, precision) == (3, "fp32") else 0.0
            difference = (gradient.to(mean.dtype) - mean).abs().max()
            assert difference <= bound * mean.abs().max(), name


def _config(prepared: Path, output: Path, stage: ZeroStage, precision: Precision) -> RunConfig:
    return run_config(
        prepared,
        output,
        zero_stage=stage,
        precision=precision,
        global_batch_size=2,
        micro_batch_size=1,
        activation_checkpointing=True,
    )


@contextmanager
def _kernels_of(stage: ZeroStage) -> Iterator[None]:
    """One thread, as torchrun gives its ranks, and the linear function of that stage."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        if stage == 3:
            patch.setattr(functional, "linear", zero3_linear_wrap)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def _load(path: Path) -> Any:
    return torch.load(path, weights_only=False)
