"""How long checkpoints make a run stand still: this code, and another checkout in the same run.

    python bench/checkpoint.py [OLD_CHECKOUT] [--hidden 768] [--minutes 0.5] [--runs 2]

A LLaVA of random weights trains on two ranks of one thread each under ZeRO-2 in float32, the codes
in turn, with a checkpoint every so many minutes. The first and the last one are written while a run
waits, in each code, and are left out. The figures are those of the events: seconds blocked (where
an older code does not say it: all of them), seconds from a checkpoint's step until it was
published, and the steps' own seconds, which what is written beside them makes longer on cores that
both need.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from transformers import LlavaForConditionalGeneration

from qinstruct_trainer.contract.config import Checkpointing
from qinstruct_trainer.contract.events import Checkpoint, Event, Step, parse_line
from qinstruct_trainer.model.attention import implementations
from support.model.tiny import tiny_config
from support.training.prepared_folder import write_prepared
from support.training.run_configs import run_config

ROOT = Path(__file__).parents[1]
EVERY_MINUTES = 30  # of the published runs here


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("old", nargs="?", type=Path, help="another checkout of this repository")
    parser.add_argument("--hidden", type=int, default=768)
    parser.add_argument("--minutes", type=float, default=0.5)
    parser.add_argument("--runs", type=int, default=2)
    options = parser.parse_args()
    trees = {"this code": ROOT} | ({"the other code": options.old} if options.old else {})
    found: dict[str, list[Event]] = {name: [] for name in trees}
    with tempfile.TemporaryDirectory() as scratch:
        prepared = write_prepared(Path(scratch, "prepared"), model=model_of(options.hidden))
        for run in range(options.runs):
            for name, tree in trees.items():
                output = Path(scratch, f"{name}-{run}".replace(" ", "-"))
                found[name] += train(tree, prepared, output, options.minutes)
    for name, events in found.items():
        show(name, events)


def model_of(hidden: int) -> LlavaForConditionalGeneration:
    config = tiny_config()
    text: Any = config.text_config
    text.update({"hidden_size": hidden, "intermediate_size": 3 * hidden, "num_hidden_layers": 7})
    config._attn_implementation = implementations("eager")
    return LlavaForConditionalGeneration(config)


def train(tree: Path, prepared: Path, output: Path, minutes: float) -> list[Event]:
    """The events of a whole run by the code of a checkout, without those at its ends."""
    output.mkdir()
    config = run_config(
        prepared,
        output,
        epochs=6,
        learning_rate=1e-5,
        checkpoint=Checkpointing(every_minutes=minutes, keep=1),
    )
    path = output / "run.json"
    path.write_text(config.to_json())
    command = ["-m", "qinstruct_trainer.torchrun", "--nproc-per-node=2", "-m", "qinstruct_trainer"]
    environment = os.environ | {
        "PYTHONPATH": str(tree / "trainer/src"),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    done = subprocess.run(
        [sys.executable, *command, "train", "--config", str(path)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    events = [event for line in done.stdout.splitlines() if (event := parse_line(line, None))]
    last = max(event.step for event in events if isinstance(event, Step))
    return [
        event
        for event in events
        if isinstance(event, Step)
        or (isinstance(event, Checkpoint) and event.step not in (0, last))
    ]


def show(name: str, events: Sequence[Event]) -> None:
    steps = [event.seconds for event in events if isinstance(event, Step)]
    saves = [event for event in events if isinstance(event, Checkpoint)]
    blocked = [
        save.seconds if save.blocked_seconds is None else save.blocked_seconds for save in saves
    ]
    if not saves:
        raise SystemExit(f"{name}: the run was over before its first checkpoint; lower --minutes")
    share = sum(blocked) / (sum(steps) + sum(blocked))
    at_30 = statistics.mean(blocked) / (60 * EVERY_MINUTES)
    print(
        f"{name}: {len(saves)} checkpoints of {saves[0].num_bytes / 1e6:,.0f} MB, blocked "
        f"{statistics.median(blocked):.2f} s (at most {max(blocked):.2f}), published after "
        f"{statistics.median(save.seconds for save in saves):.2f} s; {share:.1%} of the time of "
        f"{len(steps)} steps, {at_30:.2%} with one in {EVERY_MINUTES} minutes; a step "
        f"{statistics.median(steps):.2f} s"
    )


if __name__ == "__main__":
    main()
