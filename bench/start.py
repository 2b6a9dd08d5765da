"""Time and CPU time from the start of the trainer to the first step of the tiny run, two ranks.

    python bench/start.py [TREE ...] [--runs 5] [--bare]

Each TREE is a checkout, by default this one; the same interpreter runs the code of each, in turn,
and every tree trains on what its own preparation made. Of the runs the median is said, and the
quickest one; CPU seconds are those of torchrun and all ranks. `--bare` adds a plain script of two
ranks with Hugging Face's Trainer and the same model, for its first step.
"""

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

_TICKS = os.sysconf("SC_CLK_TCK")
_FIRST_STEP = '"event":"step"'
_BARE = "bare Trainer"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    here = Path(__file__).resolve().parents[1]
    parser.add_argument("trees", type=Path, nargs="*", default=[here])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--bare", action="store_true")
    parser.add_argument("--train-bare", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train_bare:
        train_bare(options.train_bare)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folders = {}
        for number, tree in enumerate(options.trees):
            folders[str(tree)] = Path(scratch, str(number))
            prepare(tree, folders[str(tree)])
        taken: dict[str, list[tuple[float, float]]] = {}
        for _ in range(options.runs):
            for name, folder in folders.items():
                taken.setdefault(name, []).append(start(Path(name), folder / "run-tiny"))
            if options.bare:
                model = next(iter(folders.values())) / "run-tiny" / "prepared.json"
                taken.setdefault(_BARE, []).append(start_bare(model))
    for name, figures in taken.items():
        seconds, cpu = zip(*figures, strict=True)
        print(
            f"{name}: first step after {statistics.median(seconds):.2f} s (at best "
            f"{min(seconds):.2f}), {statistics.median(cpu):.2f} CPU s (at best {min(cpu):.2f})"
        )


def prepare(tree: Path, workdir: Path) -> None:
    """Prepare the tiny run as `qinstruct run` does; it is ended with its first step."""
    sample = tree / "manifests" / "samples" / "run-tiny.yaml"
    command = [sys.executable, "-m", "qinstruct_operator", "run", str(sample)]
    workdir.mkdir()
    log = workdir / "log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [*command, "--workdir", str(workdir)], stdout=stream, stderr=stream, env=_paths(tree)
        )
    while "\nstep 1 " not in log.read_text() and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    process.wait()
    if "\nstep 1 " not in log.read_text():
        raise SystemExit(log.read_text())


def start(tree: Path, folder: Path) -> tuple[float, float]:
    """Seconds and CPU seconds to the first step of the prepared run, from step 0."""
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    for trace in ("metrics.jsonl", "record.json", "identity.json", "lease.1"):
        (folder / trace).unlink(missing_ok=True)
    command = ["-m", "qinstruct_trainer.torchrun", "--nproc-per-node=2"]
    arguments = ["-m", "qinstruct_trainer", "train", "--config", str(folder / "run.json")]
    return _measure([sys.executable, *command, *arguments], _paths(tree))


def start_bare(prepared: Path) -> tuple[float, float]:
    """Seconds and CPU seconds to the first step of a script without anything of ours."""
    command = ["-m", "torch.distributed.run", "--nproc-per-node=2", __file__]
    return _measure([sys.executable, *command, "--train-bare", str(prepared)], dict(os.environ))


def train_bare(prepared: Path) -> None:
    """What each rank of that script does: load the model, take one step of 2 x 8 records."""
    import json

    import torch
    from transformers import LlavaForConditionalGeneration, Trainer, TrainingArguments

    folder = json.loads(prepared.read_text())["model"]
    model = LlavaForConditionalGeneration.from_pretrained(folder)
    vision: Any = model.config.vision_config
    size = vision.image_size
    ids = torch.full((64 + model.config.image_seq_length,), 5)
    ids[1 : 1 + model.config.image_seq_length] = model.config.image_token_index
    row = {"input_ids": ids, "labels": ids, "pixel_values": torch.zeros(3, size, size)}
    arguments = TrainingArguments(
        output_dir=str(prepared.parent / "bare"),
        max_steps=1,
        per_device_train_batch_size=8,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
    )
    Trainer(model=model, args=arguments, train_dataset=[row] * 16).train()
    print(_FIRST_STEP, flush=True)
    time.sleep(60)  # until it is ended


def _measure(command: Sequence[str], environment: dict[str, str]) -> tuple[float, float]:
    environment |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    begin = time.monotonic()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env=environment, text=True, process_group=0
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if _FIRST_STEP in line:
                break
        else:
            raise SystemExit(f"{command} ended without a step")
        seconds = time.monotonic() - begin
        family = _family(process.pid)
        cpu = sum(map(_cpu_seconds, family))
        for pid in family:
            with suppress(ProcessLookupError):  # it has ended with its parent
                os.kill(pid, signal.SIGKILL)
    return seconds, cpu


def _paths(tree: Path) -> dict[str, str]:
    """The environment in which the modules are those of the tree."""
    paths = [str(tree / name / "src") for name in ("operator", "trainer")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}


def _family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(found for child in children for found in _family(int(child)))]


def _cpu_seconds(pid: int) -> float:
    """Of the process and those of its children that have ended (proc(5), fields 14 to 17)."""
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, stat[11:15])) / _TICKS


if __name__ == "__main__":
    main()
