"""Two processes whose records share rows: killed and resumed they end in the same weights."""

import functools
import signal
from pathlib import Path

import pytest

from qinstruct_trainer.contract.config import Packing
from qinstruct_trainer.contract.errors import EXIT_CONFIG, EXIT_OK
from support.training.prepared_folder import NUM_STEPS, write_prepared
from support.training.processes import (
    end,
    losses,
    printed,
    signal_rank,
    start,
    train,
    wait_until,
    weights,
)
from support.training.run_configs import EVERY_STEP, run_config

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `prepared`, with images that several records ask about."""
    return write_prepared(tmp_path_factory.mktemp("questions"), questions=4)


@pytest.mark.parametrize(
    ("packing", "changes"),
    [
        ("sequence", {}),
        ("prefix", {"zero_stage": 3, "activation_checkpointing": True}),
        # Rows of at most 128 tokens: steps of one, two and three passes.
        ("prefix", {"micro_batch_size": 1}),
    ],
)
def test_a_packed_run_that_is_killed_goes_on_bit_for_bit(
    packing: Packing, changes: dict[str, object], questions: Path, tmp_path: Path
) -> None:
    whole = run_config(questions, tmp_path / "whole", packing=packing, **changes)
    ended = train(whole)
    assert ended.code == EXIT_OK, ended.stderr
    parts = run_config(
        questions, tmp_path / "parts", packing=packing, checkpoint=EVERY_STEP, **changes
    )
    process = start(parts)
    assert wait_until(process, functools.partial(printed, parts, '"step":7,'))
    signal_rank(process, 1, signal.SIGKILL)
    assert end(parts, process).code == 128 + signal.SIGKILL
    assert train(parts).code == EXIT_OK
    assert losses(parts) == losses(whole)
    assert len(losses(whole)) == NUM_STEPS
    assert weights(parts) == weights(whole)


def test_sequence_trains_as_none_does_whatever_the_passes_are(
    questions: Path, tmp_path: Path
) -> None:
    """Two micro-batches of each rank in two passes, and the same in rows of equal tokens."""
    found = {}
    for packing in ("none", "sequence"):
        config = run_config(questions, tmp_path / packing, packing=packing, micro_batch_size=2)
        assert train(config).code == EXIT_OK
        found[packing] = losses(config)
    assert found["sequence"] == pytest.approx(found["none"], rel=1e-4)


def test_a_run_keeps_its_packing(questions: Path, tmp_path: Path) -> None:
    config = run_config(questions, tmp_path, packing="sequence", stop_after_step=2)
    train(config)
    ended = train(config.model_copy(update={"packing": "prefix"}))
    assert ended.code == EXIT_CONFIG
    assert "was written with packing sequence, but the run now has prefix" in ended.stderr
