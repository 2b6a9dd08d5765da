import gc
import math
import os
import socket
import weakref
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed

from qinstruct_trainer.contract.config import Prepared, RunConfig
from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.collate import Batch, collate
from qinstruct_trainer.data.index.reader import Index
from qinstruct_trainer.model.llava import load_checked
from qinstruct_trainer.train.engine import Engine
from qinstruct_trainer.train.ranks import Ranks, process_group
from support.model.tiny import IMAGE_SIZE
from support.pickles import (
    add_code,
    call,
    replace_by_legacy_file,
    replace_by_plain_pickle,
    rewrite_pickle,
)
from support.training.prepared_folder import write_prepared
from support.training.run_configs import run_config

pytestmark = [
    pytest.mark.slow,
    # DeepSpeed calls what this torch has deprecated.
    pytest.mark.filterwarnings(r"ignore:`torch\.jit\.script_method` is deprecated"),
    pytest.mark.filterwarnings(r"ignore:`torch\.distributed\..*is deprecated"),
]

RANKS = Ranks(rank=0, local_rank=0, world_size=1)
MODEL = "engine/mp_rank_00_model_states.pt"
OPTIMIZER = "engine/zero_pp_rank_0_mp_rank_00_optim_states.pt"


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
        with process_group(RANKS, is_watched=True):
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
    return collate([index[number] for number in numbers], IMAGE_SIZE)


def take_step(engine: Engine, config: RunConfig, rate: float = 1e-2) -> float:
    engine.forward_backward(batch(config, 0, 1), is_last=False)
    engine.end_pass()
    engine.forward_backward(batch(config, 3, 4), is_last=True)
    return engine.optimizer_step(rate)


class States(dict[Path, Any]):
    """What a save has given; unlike a plain one it can be watched."""


@pytest.mark.usefixtures("alone")
def test_the_groups_that_deepspeed_makes_wait_as_long_as_our_own(config: RunConfig) -> None:
    make_engine(config)
    groups = list(distributed.distributed_c10d._world.pg_map)
    assert len(groups) > 1
    timeouts = {group._get_backend(torch.device("cpu")).options._timeout for group in groups}
    assert timeouts == {timedelta(hours=4)}


@pytest.mark.usefixtures("alone")
def test_what_was_saved_is_not_kept_alive(config: RunConfig, tmp_path: Path) -> None:
    engine, states = make_engine(config), States()
    engine.save(tmp_path / "saved", states.__setitem__)
    assert states
    watched = weakref.ref(states)
    del states
    gc.collect()
    assert watched() is None


@pytest.mark.usefixtures("alone")
def test_a_step_changes_the_weights_once_all_passes_are_done(config: RunConfig) -> None:
    engine = make_engine(config)
    before = engine.full_state_dict(keep=True)
    engine.forward_backward(batch(config, 0, 1), is_last=False)
    engine.end_pass()
    _assert_equal(engine.full_state_dict(keep=True), before)
    engine.forward_backward(batch(config, 3, 4), is_last=True)
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
    ids = probe.input_ids.unsqueeze(0)
    model = load_checked(Prepared.read(config.prepared).model, precision="fp32")
    with torch.no_grad():
        expected = model(input_ids=ids, pixel_values=probe.pixel_values).logits
    found = engine.logits(ids, probe.pixel_values)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert engine.model.training


@pytest.fixture(scope="module")
def opened(alone: None, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """One for all attacks: what is refused changes nothing that the next one needs."""
    del alone
    sizes = {"world_size": 1, "global_batch_size": 2, "micro_batch_size": 2}
    return make_engine(run_config(prepared, tmp_path_factory.mktemp("output"), **sizes))


@pytest.fixture
def checkpoint(opened: Engine, tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    opened.save(folder)
    return folder


@pytest.mark.parametrize("file", [MODEL, OPTIMIZER])
@pytest.mark.parametrize(
    "attack",
    [add_code, replace_by_plain_pickle, replace_by_legacy_file],
    ids=lambda attack: attack.__name__,
)
def test_no_file_of_a_checkpoint_runs_code(
    attack: Callable[[Path, Path], None],
    file: str,
    opened: Engine,
    checkpoint: Path,
    tmp_path: Path,
) -> None:
    witness = tmp_path / "code-ran"
    attack(checkpoint / file, witness)
    with pytest.raises(DataError, match=rf"{Path(file).name} .*; delete .*checkpoint"):
        opened.load(checkpoint)
    assert not witness.exists()


def test_code_that_the_user_has_allowed_to_all_of_torch_does_not_run(
    opened: Engine, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    add_code(checkpoint / MODEL, tmp_path / "code-ran")
    with pytest.raises(DataError, match="holds more than"):
        opened.load(checkpoint)
    assert not (tmp_path / "code-ran").exists()


def test_a_part_that_leads_out_of_the_checkpoint_is_not_followed(
    opened: Engine, checkpoint: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.pt"
    (checkpoint / MODEL).rename(outside)
    (checkpoint / MODEL).symlink_to(outside)
    with pytest.raises(DataError, match="is a link"):
        opened.load(checkpoint)


def test_a_part_that_never_ends_is_not_read(opened: Engine, checkpoint: Path) -> None:
    (checkpoint / MODEL).unlink()
    os.mkfifo(checkpoint / MODEL)
    with pytest.raises(DataError, match="is no plain file"):
        opened.load(checkpoint)


def test_the_file_latest_leads_nowhere(opened: Engine, checkpoint: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    opened.save(elsewhere)
    add_code(elsewhere / MODEL, tmp_path / "code-ran")
    (checkpoint / "latest").write_text("../elsewhere/engine")
    opened.load(checkpoint)
    assert not (tmp_path / "code-ran").exists()


def _lose(folder: Path) -> None:
    (folder / MODEL).unlink()


def _no_dictionary(folder: Path) -> None:
    torch.save([1], folder / MODEL)


def _another_shape(folder: Path) -> None:
    content = torch.load(folder / MODEL, weights_only=True)
    content["module"] = {name: value[:1] for name, value in content["module"].items()}
    torch.save(content, folder / MODEL)


def _wrong_optimizer(folder: Path) -> None:
    torch.save({"optimizer_state_dict": {"zero_stage": 2}}, folder / OPTIMIZER)


def _methods_replaced_by_values(folder: Path) -> None:
    content = torch.load(folder / OPTIMIZER, weights_only=False)
    content["optimizer_state_dict"]["loss_scaler"].has_overflow = 1
    torch.save(content, folder / OPTIMIZER)


def _squeezed(folder: Path) -> None:
    """As a bomb is: more bytes in it than the file has."""
    rewrite_pickle(folder / MODEL, lambda content: content, squeeze=True)


def _a_buffer_of_a_terabyte(folder: Path) -> None:
    rewrite_pickle(folder / MODEL, call("__builtin__.bytearray", 10**12))


def _a_tensor_that_repeats_one_value(folder: Path) -> None:
    content = torch.load(folder / MODEL, weights_only=True)
    name = next(iter(content["module"]))
    content["module"][name] = torch.zeros(1).expand(10**12)
    torch.save(content, folder / MODEL)


def _sparse(folder: Path) -> None:
    torch.save({"module": {"a": torch.eye(3).to_sparse()}}, folder / MODEL)


def _without_values(folder: Path) -> None:
    torch.save({"module": {"a": torch.empty(3, device="meta")}}, folder / MODEL)


@pytest.mark.parametrize(
    "attack",
    [
        _lose,
        _no_dictionary,
        _another_shape,
        _wrong_optimizer,
        _methods_replaced_by_values,
        _squeezed,
        _a_buffer_of_a_terabyte,
        _a_tensor_that_repeats_one_value,
        _sparse,
        _without_values,
    ],
    ids=lambda attack: attack.__name__.strip("_"),
)
def test_what_is_no_checkpoint_is_refused_in_a_sentence(
    attack: Callable[[Path], None], opened: Engine, checkpoint: Path
) -> None:
    attack(checkpoint)
    with pytest.raises(DataError, match=r"; delete .*/checkpoint ") as refused:
        opened.load(checkpoint)
    assert "\n" not in str(refused.value)


def _assert_equal(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)
