"""One GPU computes what it computes without DeepSpeed, and the same each time.

For one GPU of any kind; NCCL has one rank here. It takes four minutes on an H200.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import pytest
import torch
from deepspeed.runtime.zero.linear import zero3_linear_wrap
from torch import Tensor
from torch.nn import functional
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from qinstruct_trainer.contract.config import Checkpointing, Precision, Prepared, ZeroStage
from qinstruct_trainer.contract.errors import EXIT_OK, EXIT_STOPPED
from qinstruct_trainer.contract.events import Exported
from qinstruct_trainer.model.attention import implementations
from qinstruct_trainer.model.llava import load_checked
from qinstruct_trainer.train.ranks import compute_alike_each_time
from support.training import zero_worker
from support.training.heads import LENGTH, heads_batch, heads_model, plain_pass, write_heads
from support.training.prepared_folder import write_prepared
from support.training.processes import end, losses, printed, signal_rank, start, wait_until, weights
from support.training.run_configs import run_config

pytestmark = [
    pytest.mark.slow,
    pytest.mark.gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available(),
        reason="torch sees no GPU: nothing here says what a GPU computes",
    ),
]

PUBLISHED: dict[str, object] = {
    "world_size": 1,
    "zero_stage": 3,
    "precision": "bf16",
    "activation_checkpointing": True,
}


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_buffers_logits_losses_and_gradients_are_those_of_a_process_without_deepspeed(
    stage: ZeroStage,
    precision: Precision,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepared = write_heads(tmp_path)
    batch = heads_batch(LENGTH, LENGTH - 40)
    torch.save([batch], tmp_path / "batches.pt")
    config = run_config(
        prepared,
        tmp_path,
        **PUBLISHED
        | {
            "zero_stage": stage,
            "precision": precision,
            "global_batch_size": 2,
            "micro_batch_size": 2,
        },
    )
    (tmp_path / "run.json").write_text(config.to_json())
    command = [sys.executable, "-m", "qinstruct_trainer.torchrun", "--nproc-per-node=1"]
    arguments = [zero_worker.__file__, str(tmp_path / "batches.pt"), str(tmp_path / "run.json")]
    subprocess.run(
        [*command, *arguments],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "0"},
        check=True,
        timeout=300,
    )
    seen = torch.load(tmp_path / "0.pt", weights_only=False)

    if stage == 3:  # ZeRO-3 has a linear layer of its own
        monkeypatch.setattr(functional, "linear", zero3_linear_wrap)
    compute_alike_each_time()
    try:
        plain = plain_pass(prepared, precision, batch, "cuda")
    finally:
        torch.use_deterministic_algorithms(False)

    for name, buffer in load_checked(
        Prepared.read(prepared).model, precision=precision
    ).named_buffers():
        assert torch.equal(seen["buffers"][name], buffer), name
    assert torch.equal(seen["logits"], plain["logits"])
    assert seen["loss"] == plain["loss"]
    assert seen["gradients"].keys() == plain["gradients"].keys()
    # As on CPUs: gathered weights lie elsewhere in memory, which float32 products depend on.
    bound = LENGTH * 2.0**-24 if (stage, precision) == (3, "fp32") else 0.0
    for name, gradient in seen["gradients"].items():
        expected = plain["gradients"][name]
        difference = (gradient.to(expected.dtype) - expected).abs().max()
        assert difference <= bound * expected.abs().max(), name


def test_packed_attention_is_that_of_each_record() -> None:
    """Against float32 for each record alone, at the published heads and lengths.

    The kernel rounds to bf16 what it multiplies and what it returns, each time by 2^-9 at most:
    two such roundings stand behind an output and four behind a gradient.
    """
    lengths = [LENGTH, 1, LENGTH - 40, 2048]
    generator = torch.Generator("cuda").manual_seed(0)
    given = [
        torch.randn((1, 32, sum(lengths), 128), generator=generator, device="cuda").bfloat16()
        for _ in range(4)
    ]
    starts = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device="cuda")
    attend = ALL_ATTENTION_FUNCTIONS[implementations("sdpa")["text_config"]]

    def run(given: Sequence[Tensor], lengths: list[int]) -> list[Tensor]:
        *inputs, into = (each.detach().requires_grad_() for each in given)
        where = {
            "lengths": tuple(lengths),
            "cu_seq_lens_q": starts,
            "max_length_q": max(lengths),
        }
        found, _ = attend(torch.nn.Module(), *inputs, None, scaling=128**-0.5, **where)
        gradients = torch.autograd.grad(found, inputs, into.transpose(1, 2))
        return [found.detach().transpose(1, 2), *gradients]

    packed = run(given, lengths)
    parts = zip(*(torch.split(each.float(), lengths, dim=2) for each in given), strict=True)
    alone = [run(part, [part[0].shape[2]]) for part in parts]
    for number, roundings in enumerate((2, 4, 4, 4)):
        ours = torch.split(packed[number], lengths, dim=2)
        expected = [each[number] for each in alone]
        # Of all records: the gradients of one token's query and key are 0 but for rounding.
        size = torch.cat(expected, dim=2).square().mean().sqrt()
        for found, each in zip(ours, expected, strict=True):
            off = (found.float() - each).square().mean().sqrt()
            assert off <= roundings * 2.0**-9 * size, (number, each.shape)


def test_stopped_and_killed_runs_end_in_the_weights_of_an_uninterrupted_one(
    tmp_path: Path,
) -> None:
    """Each also exports, and compares the export with the model in training on the GPU."""
    prepared = write_prepared(tmp_path / "data", model=heads_model())
    whole, stopped, killed = (
        run_config(prepared, tmp_path / name, **PUBLISHED)
        for name in ("whole", "stopped", "killed")
    )
    ended = end(whole, start(whole, gpu="0"))
    assert ended.code == EXIT_OK, ended.stderr
    assert any(isinstance(event, Exported) for event in ended.events)

    first = start(stopped.model_copy(update={"stop_after_step": 7}), gpu="0")
    assert end(stopped, first).code == EXIT_STOPPED

    often = Checkpointing(every_minutes=1e-9, keep=2)
    first = start(killed.model_copy(update={"checkpoint": often}), gpu="0")
    assert wait_until(first, lambda: printed(killed, '"step":6,'))
    signal_rank(first, 0, signal.SIGKILL)
    assert end(killed, first).code == 128 + signal.SIGKILL

    for config in (stopped, killed):
        assert end(config, start(config, gpu="0")).code == EXIT_OK
        assert losses(config) == losses(whole)
        assert weights(config) == weights(whole)
