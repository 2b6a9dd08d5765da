import math
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from qinstruct_trainer.contract.config import Prepared, RunConfig
from qinstruct_trainer.data.collate import Batch, collate
from qinstruct_trainer.data.index.reader import Index
from qinstruct_trainer.model.llava import load_checked
from qinstruct_trainer.train.engine import Engine
from qinstruct_trainer.train.ranks import Ranks, process_group
from support.model.tiny import IMAGE_SIZE, PAD_TOKEN
from support.training.prepared_folder import run_config, write_prepared

pytestmark = [
    pytest.mark.slow,
    # DeepSpeed calls what this torch has deprecated.
    pytest.mark.filterwarnings(r"ignore:`torch\.jit\.script_method` is deprecated"),
    pytest.mark.filterwarnings(r"ignore:`torch\.distributed\..*is deprecated"),
]

RANKS = Ranks(rank=0, local_rank=0, world_size=1)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prepared(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module")
def alone() -> Iterator[None]:
    """A process group of this process alone."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        patch.setenv("DS_ACCELERATOR", "cpu")
        for name, value in (("RANK", 0), ("LOCAL_RANK", 0), ("WORLD_SIZE", 1)):
            patch.setenv(name, str(value))
        patch.setenv("MASTER_ADDR", "127.0.0.1")
        patch.setenv("MASTER_PORT", str(port))
        with process_group(RANKS):
            yield


@pytest.fixture
def config(prepared: Path, tmp_path: Path) -> RunConfig:
    return run_config(
        prepared, tmp_path, world_size=1, global_batch_size=4, micro_batch_size=2, zero_stage=2
    )


def make_engine(config: RunConfig) -> Engine:
    return Engine(config, Prepared.read(config.prepared).model, 32, RANKS)


def batch(config: RunConfig, *numbers: int) -> Batch:
    index = Index.open(Prepared.read(config.prepared).index)
    return collate([index[number] for number in numbers], PAD_TOKEN, IMAGE_SIZE)


def take_step(engine: Engine, config: RunConfig, rate: float = 1e-2) -> float:
    engine.forward_backward(batch(config, 0, 1))
    engine.end_pass()
    engine.forward_backward(batch(config, 3, 4))
    return engine.optimizer_step(rate)


@pytest.mark.usefixtures("alone")
def test_a_step_changes_the_weights_once_all_passes_are_done(config: RunConfig) -> None:
    engine = make_engine(config)
    before = engine.full_state_dict(keep=True)
    engine.forward_backward(batch(config, 0, 1))
    engine.end_pass()
    _assert_equal(engine.full_state_dict(keep=True), before)
    engine.forward_backward(batch(config, 3, 4))
    assert engine.optimizer_step(1e-2) > 0
    after = engine.full_state_dict(keep=True)
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed
    assert not any("vision_tower" in name for name in changed)


@pytest.mark.usefixtures("alone")
def test_a_gradient_that_is_not_finite_changes_nothing(config: RunConfig, tmp_path: Path) -> None:
    poisoned = config.model_copy(update={"prepared": write_prepared(tmp_path / "p", poison=True)})
    engine = make_engine(poisoned)
    before = engine.full_state_dict(keep=True)
    assert take_step(engine, poisoned) == math.inf
    after = engine.full_state_dict(keep=True)
    torch.testing.assert_close(after, before, rtol=0, atol=0, equal_nan=True)


@pytest.mark.usefixtures("alone")
def test_what_was_saved_goes_on_as_if_nothing_had_happened(
    config: RunConfig, tmp_path: Path
) -> None:
    engine = make_engine(config)
    take_step(engine, config)
    engine.save(tmp_path)
    norm = take_step(engine, config)
    resumed = make_engine(config)
    resumed.load(tmp_path)
    assert take_step(resumed, config) == norm
    _assert_equal(resumed.full_state_dict(keep=True), engine.full_state_dict(keep=True))


@pytest.mark.usefixtures("alone")
def test_logits_are_those_of_the_model_on_disk(config: RunConfig) -> None:
    engine = make_engine(config)
    probe = batch(config, 0)
    model = load_checked(Prepared.read(config.prepared).model, precision="fp32")
    with torch.no_grad():
        expected = model(input_ids=probe.input_ids, pixel_values=probe.pixel_values).logits
    found = engine.logits(probe.input_ids, probe.pixel_values)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert engine.model.training


def _assert_equal(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)
