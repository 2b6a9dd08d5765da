import io
import logging
import os
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from qinstruct_trainer.contract.errors import ConfigError
from qinstruct_trainer.train.ranks import (
    Ranks,
    check_world_size,
    compute_alike_each_time,
    log_to_stderr,
    seed_generators,
)

ENVIRONMENT = {"RANK": "9", "LOCAL_RANK": "1", "WORLD_SIZE": "16", "HOME": "/"}


def test_the_place_is_read_from_torchruns_environment() -> None:
    assert Ranks.from_env(ENVIRONMENT) == Ranks(rank=9, local_rank=1, world_size=16)


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "WORLD_SIZE"])
def test_the_error_outside_torchrun_names_the_command_to_use(name: str) -> None:
    environment = {key: value for key, value in ENVIRONMENT.items() if key != name}
    with pytest.raises(ConfigError, match=f"has no {name}; start training with python -m"):
        Ranks.from_env(environment)


def test_only_rank_0_is_main() -> None:
    assert [Ranks(rank, rank, 2).is_main for rank in range(2)] == [True, False]


def test_each_rank_has_the_gpu_of_its_local_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    ranks = Ranks(rank=9, local_rank=1, world_size=16)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert ranks.device == torch.device("cuda", 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert ranks.device == torch.device("cpu")


def test_another_number_of_processes_is_refused() -> None:
    check_world_size(Ranks(0, 0, 8), planned=8)
    with pytest.raises(ConfigError, match="planned for 8 processes, but 4 were started"):
        check_world_size(Ranks(0, 0, 4), planned=8)


def test_the_seed_decides_what_every_generator_draws() -> None:
    def draw(seed: int) -> tuple[float, float, float]:
        seed_generators(seed)
        return random.random(), float(np.random.random()), float(torch.rand(()))

    first = draw(7)
    assert draw(7) == first
    assert all(a != b for a, b in zip(draw(8), first, strict=True))
    assert draw(2**32 + 1)[1] == draw(1)[1]  # numpy takes 32 bits


def test_sums_have_one_order_and_a_setting_of_the_user_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That weights then come out alike, only a GPU can show: tests/training/test_gpu.py."""
    monkeypatch.setenv("FLASH_ATTENTION_DETERMINISTIC", "0")
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    try:
        compute_alike_each_time()
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert os.environ["FLASH_ATTENTION_DETERMINISTIC"] == "0"


def test_what_logs_to_stdout_goes_to_stderr_and_nothing_else_is_touched() -> None:
    logger, elsewhere = logging.Logger("noisy"), io.StringIO()
    first, second = logging.StreamHandler(sys.stdout), logging.StreamHandler(elsewhere)
    logger.addHandler(first)
    logger.addHandler(second)
    log_to_stderr(logger)
    assert first.stream is sys.stderr
    assert second.stream is elsewhere


@pytest.mark.slow
def test_deepspeed_does_not_load_torchs_compiler_to_look_at_an_optimizer() -> None:
    """It asks whether it is Muon; importing that compiled Muon's kernels, for 0.8 s a rank."""
    script = (
        "import sys\n"
        "from qinstruct_trainer.train.ranks import load_deepspeed\n"
        "load_deepspeed('cpu')\n"
        "from deepspeed.runtime.zero.muon.muon_optimizer import MuonWithAuxAdam\n"
        "sys.exit('torch._inductor.compile_fx' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
