"""Checkpoints in one process: a group of one rank, and an engine whose state is a text."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import distributed

from qinstruct_trainer.model.torch_files import read_torch_file
from qinstruct_trainer.train.checkpoint.identity import Identity
from qinstruct_trainer.train.checkpoint.write import CheckpointWriter
from qinstruct_trainer.train.engine import Engine
from qinstruct_trainer.train.ranks import Ranks
from qinstruct_trainer.train.state_files import WriteState, write_state

RANKS = Ranks(rank=0, local_rank=0, world_size=1)
IDENTITY = Identity.model_validate({"model": "model-a", "data": "d1", "learning_rate": 0.5})


class TextEngine(Engine):
    """Saves and loads a text below a folder, as DeepSpeed does with its shards.

    As there, the large file is given away to be written, and another one stands there at once.
    """

    def __init__(self, text: str = "") -> None:
        self.text = text

    def save(self, folder: Path, write: WriteState = write_state) -> None:
        (folder / "state").mkdir()
        write(folder / "state" / "text", {"text": self.text})
        (folder / "latest").write_text("state")

    def load(self, folder: Path) -> None:
        self.text = read_torch_file(folder / "state" / "text")["text"]


@contextmanager
def group_of_one(meeting_point: Path) -> Iterator[None]:
    """Collective calls of a single rank; `meeting_point` is a file that is not there yet."""
    where = meeting_point.as_uri()
    distributed.init_process_group("gloo", init_method=where, rank=0, world_size=1)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def write_checkpoints(output: Path, *steps: int, keep: int = 9) -> None:
    """One checkpoint a step, whose text is the step's number."""
    writer = CheckpointWriter(output, IDENTITY, keep, RANKS, lease=None)
    for step in steps:
        writer.save(TextEngine(str(step)), step)
