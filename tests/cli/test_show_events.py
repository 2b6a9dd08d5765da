"""Events on the screen: plain lines, compared one by one, and bars on a terminal."""

import io

from rich.console import Console

from qinstruct_operator.cli.show_events import BarView, PlainView, View, open_view
from qinstruct_trainer.contract.events import (
    Checkpoint,
    Evaluated,
    Event,
    Exported,
    PrepDone,
    PrepProgress,
    PrepWaiting,
    Restarting,
    Start,
    Step,
)


def fetched(done: int, time: float, *, cached: bool = False) -> PrepProgress:
    return PrepProgress(
        stage="fetch", item="labels", done=done, total=1000, unit="bytes", time=time, cached=cached
    )


def step(number: int, time: float) -> Step:
    return Step(
        step=number,
        steps=100,
        loss=2.5,
        learning_rate=1e-3,
        gradient_norm=1.0,
        tokens=10,
        seconds=0.1,
        samples_per_second=320.0,
        tokens_per_second=100.0,
        eta_seconds=65.0,
        memory_bytes=1,
        time=time,
    )


EVENTS: tuple[Event, ...] = (
    fetched(0, 0),
    fetched(50, 1),  # same tenth, a second later: nothing
    fetched(99, 11),  # same tenth, but a sign of life is due
    fetched(500, 11.1),
    fetched(1000, 11.2),
    PrepProgress(stage="gate", item="all", done=7, total=None, unit="files", time=12, cached=False),
    PrepWaiting(stage="model", item="llava", owner="other"),
    fetched(1000, 13, cached=True),
    PrepDone(num_records=1200, num_dropped=3, path="/x"),
    Start(
        step=0, steps=100, world_size=2, num_records=1200, parameters=5, trainable=4, device="cpu"
    ),
    step(1, 20),
    step(2, 20.1),
    step(10, 21),
    Restarting(
        reason="GpuFailed",
        message="it is hot",
        exit_code=71,
        retry=1,
        retries=2,
        step=10,
        checkpoint_seconds=125.0,
    ),
    Restarting(reason="Error", message="gone", exit_code=1, retry=2, retries=2),
    step(100, 22),
    Checkpoint(step=99, path="/x", num_bytes=2_500_000, seconds=0.5),  # of an older trainer
    Checkpoint(step=100, path="/x", num_bytes=2_500_000, seconds=20.0, blocked_seconds=1.25),
    Exported(path="/x", num_bytes=1_000),
    Evaluated(model="trained", questions=400, accuracy=0.75, majority=0.5, by_kind={}),
)

PLAIN = """\
fetch labels: 0 B of 1.0 kB
fetch labels: 99 B of 1.0 kB
fetch labels: 500 B of 1.0 kB
fetch labels: 1.0 kB of 1.0 kB
gate all: 7 files
model llava: waiting for run other, which is building it
fetch labels: from the cache
data ready: 1,200 records, 3 dropped
starting: 100 steps, 1,200 records, 4 of 5 parameters trained, 2 x cpu
step 1 of 100  loss 2.5000  320.0 samples/s  ETA 1:05
step 10 of 100  loss 2.5000  320.0 samples/s  ETA 1:05
restarting in place, 1 of 2 after step 10, 2:05 after the last checkpoint: it is hot (GpuFailed)
restarting in place, 2 of 2: gone (Error)
step 100 of 100  loss 2.5000  320.0 samples/s  ETA 1:05
checkpoint after step 99 (2.5 MB, 0.5 s)
checkpoint after step 100 (2.5 MB, 20.0 s, the run waited 1.2 s)
model exported (1.0 kB)
trained model: 75.0% of 400 held-out questions right (majority answer: 50.0%)
"""


def test_plain_output() -> None:
    lines: list[str] = []
    view: View = PlainView(lines.append)
    for event in EVENTS:
        view.show(event)
    assert lines == PLAIN.splitlines()


def test_bars_show_every_stage_and_milestone() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=120)
    view = open_view(console)
    assert isinstance(view, BarView)
    for event in EVENTS:
        view.show(event)
    view.close()
    drawn = stream.getvalue()
    for text in ("fetch labels", "from the cache", "training", "100/100", "waiting for run other"):
        assert text in drawn
