import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed
from transformers import LlavaForConditionalGeneration

from qinstruct_trainer.contract.config import Checkpointing, Prepared, RunConfig
from qinstruct_trainer.contract.errors import NonFiniteLossError, Stopped, StorageError
from qinstruct_trainer.contract.events import Checkpoint, Event, Step, StoppedEvent, parse_line
from qinstruct_trainer.contract.output_files import METRICS
from qinstruct_trainer.data.collate import Batch
from qinstruct_trainer.data.index.reader import Index
from qinstruct_trainer.train.batches.loader import MicroBatches
from qinstruct_trainer.train.batches.order import SampleOrder
from qinstruct_trainer.train.checkpoint.layout import published_folders
from qinstruct_trainer.train.checkpoint.write import CheckpointWriter
from qinstruct_trainer.train.engine import Engine
from qinstruct_trainer.train.loop import Loop
from qinstruct_trainer.train.metrics.metrics_file import append_metrics, read_steps
from qinstruct_trainer.train.state_files import WriteState, write_state
from support.checkpoints import IDENTITY, RANKS
from support.held_disk import hold_disk
from support.model.tiny import IMAGE_SIZE, tiny_model
from support.training.prepared_folder import NUM_STEPS, write_prepared
from support.training.run_configs import run_config
from support.training_steps import step_event

PASSES = 2  # of a step: 8 records, 4 a pass


class ScriptedEngine(Engine):
    """Gives one loss after another, and one gradient norm; computes nothing."""

    def __init__(self, losses: Sequence[float] = (1.0,), norm: float = 0.5):
        self._losses = losses
        self._norm = norm
        self._small_model = tiny_model()
        self.calls: list[str] = []
        self.rates: list[float] = []

    @property
    def model(self) -> LlavaForConditionalGeneration:
        return self._small_model

    def forward_backward(self, batch: Batch, *, is_last: bool) -> Tensor:
        self.calls.append("pass")
        return torch.tensor(self._losses[(self.calls.count("pass") - 1) % len(self._losses)])

    def end_pass(self) -> None:
        self.calls.append("end pass")

    def optimizer_step(self, learning_rate: float) -> float:
        self.calls.append("update")
        self.rates.append(learning_rate)
        return self._norm


class SavedEngine(ScriptedEngine):
    """Has something to be saved: how often it was updated. Calls back in a pass, by its number."""

    def __init__(
        self, in_pass: int, then: Callable[[], object], losses: Sequence[float] = (1.0,)
    ) -> None:
        super().__init__(losses)
        self._in_pass = in_pass
        self._then = then

    def forward_backward(self, batch: Batch, *, is_last: bool) -> Tensor:
        loss = super().forward_backward(batch, is_last=is_last)
        if self.calls.count("pass") == self._in_pass:
            self._then()
        return loss

    def save(self, folder: Path, write: WriteState = write_state) -> None:
        write(folder / "updates.pt", torch.tensor(self.calls.count("update")))


class FailsAsACopy:  # can be described, but not made again by the thread that writes
    go_on = threading.Event()

    def __reduce__(self) -> tuple[Callable[[], object], tuple[()]]:
        return self._fail, ()

    @staticmethod
    def _fail() -> object:
        assert FailsAsACopy.go_on.wait(60)
        raise MemoryError("no copy of this")


class NotedCheckpoints(CheckpointWriter):
    """Writes nothing; `steps` says what would have been saved. A signal may come meanwhile."""

    def __init__(self, output: Path, signal_at: int | None = None) -> None:
        super().__init__(output, IDENTITY, 2, RANKS, None)
        self.steps: list[int] = []
        self._signal_at = signal_at

    def save(self, engine: Engine, step: int, *, waits: bool = True) -> None:
        self.steps.append(step)
        if step == self._signal_at:
            os.kill(os.getpid(), signal.SIGTERM)


class InterruptedEngine(ScriptedEngine):
    """Gets SIGTERM in one of its calls, by the call's number from 1."""

    def __init__(self, call: str, number: int) -> None:
        super().__init__()
        self._call = call
        self._number = number

    def forward_backward(self, batch: Batch, *, is_last: bool) -> Tensor:
        loss = super().forward_backward(batch, is_last=is_last)
        self._interrupt("pass")
        return loss

    def optimizer_step(self, learning_rate: float) -> float:
        norm = super().optimizer_step(learning_rate)
        self._interrupt("update")
        return norm

    def _interrupt(self, call: str) -> None:
        if call == self._call and self.calls.count(call) == self._number:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture(scope="module", autouse=True)
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A process group of this process alone."""
    meeting = tmp_path_factory.mktemp("group") / "store"
    distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=RANKS.rank, world_size=RANKS.world_size
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        yield
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prepared(tmp_path_factory.mktemp("prepared"))


def run_loop(
    config: RunConfig, engine: Engine, done: int = 0, signal_at: int | None = None
) -> list[int]:
    """Run to the end or to a stop; the steps whose checkpoints were saved."""
    checkpoints = NotedCheckpoints(config.output, signal_at)
    loop = Loop(config, RANKS, engine, micro_batches(config), checkpoints)
    with suppress(Stopped):
        loop.run(done)
    return checkpoints.steps


def micro_batches(config: RunConfig) -> MicroBatches:
    index = Index.open(Prepared.read(config.prepared).index)
    order = SampleOrder.of(config, index.modality_lengths)
    return MicroBatches(index, order, RANKS.rank, IMAGE_SIZE)


@pytest.fixture
def config(prepared: Path, tmp_path: Path) -> RunConfig:
    return run_config(prepared, tmp_path, world_size=1)


def test_each_step_closes_its_passes_and_updates_once(config: RunConfig) -> None:
    engine = ScriptedEngine()
    assert run_loop(config, engine) == [NUM_STEPS]
    assert engine.calls == ["pass", "end pass", "pass", "update"] * NUM_STEPS
    assert engine.rates[:3] == [0.0, config.learning_rate / 2, config.learning_rate]


def test_a_step_reports_the_mean_loss_of_its_passes(config: RunConfig) -> None:
    run_loop(config, ScriptedEngine(losses=[1.0, 4.0]))
    steps = read_steps(config.output / METRICS)
    assert [step.step for step in steps] == list(range(1, NUM_STEPS + 1))
    assert {step.loss for step in steps} == {2.5}
    assert {step.gradient_norm for step in steps} == {0.5}
    assert steps[-1].eta_seconds == 0.0 < steps[0].eta_seconds


def test_a_resume_takes_only_the_steps_that_are_left(config: RunConfig) -> None:
    for number in range(1, 15):
        append_metrics(config.output / METRICS, step_event(number, loss=9.0))
    engine = ScriptedEngine()
    run_loop(config, engine, done=12)
    assert engine.calls.count("update") == NUM_STEPS - 12
    losses = [step.loss for step in read_steps(config.output / METRICS)]
    assert losses == [9.0] * 12 + [1.0] * 3


def test_a_checkpoint_is_saved_whenever_its_time_has_come(config: RunConfig) -> None:
    often = config.model_copy(update={"checkpoint": Checkpointing(every_minutes=1e-9, keep=2)})
    assert run_loop(often, ScriptedEngine(), done=10) == [11, 12, 13, 14, 15]


def test_a_stop_saves_first_and_is_said(
    config: RunConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    stopping = config.model_copy(update={"stop_after_step": 4})
    assert run_loop(stopping, ScriptedEngine()) == [4]
    last = parse_line(capsys.readouterr().out.splitlines()[-1], None)
    assert isinstance(last, StoppedEvent)
    assert (last.step, last.steps) == (4, NUM_STEPS)


def test_a_signal_during_a_save_costs_neither_a_step_nor_a_save(config: RunConfig) -> None:
    often = config.model_copy(update={"checkpoint": Checkpointing(every_minutes=1e-9, keep=2)})
    engine = ScriptedEngine()
    assert run_loop(often, engine, signal_at=3) == [1, 2, 3]
    assert engine.calls.count("update") == 3


@pytest.mark.parametrize(("call", "number"), [("pass", 5), ("pass", 6), ("update", 3)])
def test_a_signal_anywhere_in_a_step_stops_after_that_step(
    call: str, number: int, config: RunConfig
) -> None:
    engine = InterruptedEngine(call, number)
    assert run_loop(config, engine) == [3]
    assert engine.calls.count("update") == 3


@pytest.mark.parametrize("where", ["save", "update"])
def test_a_signal_at_the_last_step_leaves_the_rest_to_the_next_start(
    where: str, config: RunConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = ScriptedEngine() if where == "save" else InterruptedEngine("update", NUM_STEPS)
    signal_at = NUM_STEPS if where == "save" else None
    assert run_loop(config, engine, signal_at=signal_at) == [NUM_STEPS]
    last = parse_line(capsys.readouterr().out.splitlines()[-1], None)
    assert isinstance(last, StoppedEvent)
    assert last.step == NUM_STEPS


def test_a_loss_that_is_not_finite_stops_before_the_update_and_names_its_records(
    config: RunConfig,
) -> None:
    engine = ScriptedEngine(losses=[1.0, 1.0, 1.0, math.nan])
    with pytest.raises(NonFiniteLossError, match="the loss of step 2 is not finite") as caught:
        run_loop(config, engine)
    assert engine.calls.count("update") == 1
    suspects = sorted(micro_batches(config).records(1, PASSES - 1))
    assert f"(records {', '.join(map(str, suspects))})" in str(caught.value)


def test_a_gradient_that_is_not_finite_names_all_records_of_the_step(config: RunConfig) -> None:
    with pytest.raises(NonFiniteLossError, match="the gradient of step 1 is not") as caught:
        run_loop(config, ScriptedEngine(norm=math.inf))
    dataset = micro_batches(config)
    suspects = sorted(dataset.records(0, 0) + dataset.records(0, 1))
    assert f"(records {', '.join(map(str, suspects))})" in str(caught.value)


def test_steps_are_taken_while_a_checkpoint_is_written(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """That of step 12 cannot be begun before step 13 is under way; all are saved."""
    go_on = hold_disk(monkeypatch, 12)
    run_beside(config, SavedEngine(5, go_on.set), done=10)
    printed = events(capsys)
    saved = [event.step for event in printed if isinstance(event, Checkpoint)]
    assert saved == [11, 12, 13, 14, 15]
    kinds = [(event.event, event.step) for event in printed if isinstance(event, Checkpoint | Step)]
    assert kinds.index(("checkpoint", 12)) > kinds.index(("step", 13))
    for step in saved:
        file = config.output / "checkpoints" / f"step-{step:08d}" / "updates.pt"
        assert torch.load(file, weights_only=True) == step - 10


def test_a_signal_during_a_pending_write_waits_for_it_and_saves_its_own_step(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    go_on = hold_disk(monkeypatch, 12)

    def stop() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        go_on.set()

    with pytest.raises(Stopped, match="stopped after step 13"):
        run_beside(config, SavedEngine(5, stop), done=10)
    *_, before, own, stopped = events(capsys)
    assert isinstance(before, Checkpoint)
    assert isinstance(own, Checkpoint)
    assert isinstance(stopped, StoppedEvent)
    assert (before.step, own.step, stopped.step) == (12, 13, 13)


def test_what_is_written_gets_its_name_after_the_next_step(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Though no other one is saved before the end."""
    go_on = hold_disk(monkeypatch, 10)
    checkpoints = CheckpointWriter(config.output, IDENTITY, 9, RANKS, None)

    def write() -> None:
        go_on.set()
        while not checkpoints.has_written:
            time.sleep(0.001)

    engine = SavedEngine(5, write)
    checkpoints.save(engine, 10, waits=False)
    Loop(config, RANKS, engine, micro_batches(config), checkpoints).run(10)
    kinds = [
        (event.event, event.step)
        for event in events(capsys)
        if isinstance(event, Checkpoint | Step)
    ]
    assert kinds[2:5] == [("step", 13), ("checkpoint", 10), ("step", 14)]


def test_a_signal_during_a_save_beside_the_steps_waits_for_that_one(
    config: RunConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted(SavedEngine):
        def save(self, folder: Path, write: WriteState = write_state) -> None:
            super().save(folder, write)
            if self.calls.count("update") == 2:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped, match="stopped after step 12"):
        run_beside(config, Interrupted(0, lambda: None), done=10)
    *_, own, stopped = events(capsys)
    assert isinstance(own, Checkpoint)
    assert isinstance(stopped, StoppedEvent)
    assert (own.step, stopped.step) == (12, 12)


def test_a_loss_that_is_not_finite_waits_for_the_checkpoint_before_it(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    go_on = hold_disk(monkeypatch, 11)
    losses = [1.0, 1.0, math.nan]
    with pytest.raises(NonFiniteLossError, match="the loss of step 12"):
        run_beside(config, SavedEngine(3, go_on.set, losses), done=10)
    last = events(capsys)[-1]
    assert isinstance(last, Checkpoint)
    assert last.step == 11


def test_a_loss_that_is_not_finite_is_the_reason_also_where_that_checkpoint_fails(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    go_on = hold_disk(monkeypatch, 11)

    def be_in_the_way() -> None:
        (config.output / "checkpoints/.partial-step-00000011/updates.pt").write_text("in the way")
        go_on.set()

    with pytest.raises(NonFiniteLossError, match="the loss of step 12"):
        run_beside(config, SavedEngine(3, be_in_the_way, [1.0, 1.0, math.nan]), done=10)
    assert "step-00000011 cannot be written: File exists" in capsys.readouterr().err


def test_a_loss_that_is_not_finite_is_the_reason_also_where_the_writing_thread_dies(
    config: RunConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    class Unwritable(SavedEngine):
        def save(self, folder: Path, write: WriteState = write_state) -> None:
            write(folder / "updates.pt", FailsAsACopy())

    with pytest.raises(NonFiniteLossError, match="the loss of step 12"):
        run_beside(config, Unwritable(3, FailsAsACopy.go_on.set, [1.0, 1.0, math.nan]), done=10)
    assert "no copy of this" in capsys.readouterr().err


def test_a_write_that_fails_ends_the_run_and_the_checkpoint_before_it_stays(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = hold_disk(monkeypatch, 12)

    def be_in_the_way() -> None:
        (config.output / "checkpoints/.partial-step-00000012/updates.pt").write_text("in the way")
        go_on.set()

    with pytest.raises(StorageError, match="step-00000012 cannot be written: File exists"):
        run_beside(config, SavedEngine(5, be_in_the_way), done=10)
    published = published_folders(config.output / "checkpoints")
    assert [path.name for path in published] == ["step-00000011"]


def run_beside(config: RunConfig, engine: Engine, done: int) -> None:
    """Run with real checkpoints, one a step."""
    often = config.model_copy(update={"checkpoint": Checkpointing(every_minutes=1e-9, keep=9)})
    checkpoints = CheckpointWriter(config.output, IDENTITY, 9, RANKS, None)
    Loop(often, RANKS, engine, micro_batches(config), checkpoints).run(done)


def events(capsys: pytest.CaptureFixture[str]) -> list[Event]:
    lines = capsys.readouterr().out.splitlines()
    return [event for line in lines if (event := parse_line(line, None))]
