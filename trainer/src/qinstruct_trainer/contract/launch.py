"""The commands that start the trainer's processes, for pods, local mode and the command line."""

from collections.abc import Sequence
from pathlib import Path


def ends_with_parent(command: Sequence[str], interpreter: str, parent: int) -> list[str]:
    """The command, started so that it gets SIGTERM when its parent, a process id, dies."""
    return [interpreter, "-m", "qinstruct_trainer.parent_death", str(parent), *command]


def prep_command(interpreter: str, config: Path) -> list[str]:
    """Prepare data and model as `config`, a `PrepConfig`, says."""
    return [interpreter, "-m", "qinstruct_trainer", "prep", "--config", str(config)]


def train_command(interpreter: str, config: Path, num_processes: int) -> list[str]:
    """Train as `config`, a `RunConfig`, says.

    torchrun starts the processes, by the wrapper that ends with the exit code of the process that
    failed first.
    """
    return [
        *(interpreter, "-m", "qinstruct_trainer.torchrun", f"--nproc-per-node={num_processes}"),
        *("-m", "qinstruct_trainer", "train", "--config", str(config)),
    ]


def run_config_of(arguments: Sequence[str]) -> Path | None:
    """The `RunConfig` file that the arguments of our torchrun name; None: they start no training.

    Args:
        arguments: Those behind the module's name in `train_command`, or what a person entered.
    """
    head, tail = list(arguments[-5:-1]), arguments[-1:]
    return Path(tail[0]) if head == ["-m", "qinstruct_trainer", "train", "--config"] else None


def contents_command(interpreter: str) -> list[str]:
    """Print the `Contents` of the trainer that this interpreter starts."""
    return [interpreter, "-m", "qinstruct_trainer", "contents"]


def convert_command(
    interpreter: str, model: Path, folder: Path, vision_tower: str, *, with_tower: bool
) -> list[str]:
    """Write a finished model in the layout of the original LLaVA, into a new folder."""
    return [
        *(interpreter, "-m", "qinstruct_trainer", "convert", f"--vision-tower={vision_tower}"),
        *([] if with_tower else ["--without-tower"]),
        *("--", str(model), str(folder)),
    ]


def data_command(interpreter: str, arguments: Sequence[str]) -> list[str]:
    """A report on data, which prints a document of `contract.summary`."""
    return [interpreter, "-m", "qinstruct_trainer", "data", *arguments]


def cache_command(interpreter: str, arguments: Sequence[str]) -> list[str]:
    """A command of a cache, which prints a document of `contract.cache`."""
    return [interpreter, "-m", "qinstruct_trainer", "cache", *arguments]
