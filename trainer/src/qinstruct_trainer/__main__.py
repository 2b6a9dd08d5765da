"""The command line: `python -m qinstruct_trainer prep|train|evaluate --config FILE`, and others.

`contents`, `cache`, `data` and `convert` answer with a JSON document. `train` runs under
`python -m qinstruct_trainer.torchrun`. Exit codes are those of
`contract.errors`.
"""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from qinstruct_trainer.contract.config import Prepared, PrepConfig, RunConfig
from qinstruct_trainer.contract.errors import (
    BUG,
    EXIT_OK,
    EXIT_SOFTWARE,
    ConfigError,
    OutOfMemoryError,
    RunError,
    Stopped,
)
from qinstruct_trainer.contract.events import (
    Failed,
    PrepProgress,
    emit,
    read_termination_message,
    say,
    write_termination_message,
)
from qinstruct_trainer.contract.urls import hide_secrets
from qinstruct_trainer.environment import check_import_settings
from qinstruct_trainer.imports import without_collector
from qinstruct_trainer.plain_log import open_log

_log = logging.getLogger(__name__)


def main(arguments: Sequence[str]) -> int:
    """Run one command; the exit code."""
    open_log()
    parsed = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], None] = parsed.command
    try:
        check_import_settings()
        command(parsed)
    except Stopped as stopped:
        say(str(stopped))
        return stopped.exit_code
    except RunError as error:
        return _fail(error)
    except MemoryError:
        return _fail(OutOfMemoryError("this machine's memory is too small for the run"))
    except Exception as error:  # noqa: BLE001 - the outermost level: logged and reported
        _log.exception("This is a bug in qinstruct, not a mistake of yours:")
        message = f"{type(error).__name__}: {error}"
        _leave(Failed(reason=BUG, message=message, exit_code=EXIT_SOFTWARE))
        return EXIT_SOFTWARE
    return EXIT_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m qinstruct_trainer", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name, command, text in (
        ("prep", _prep, "Fetch, verify and index the data; build the starting model."),
        ("train", _train, "Train, export and evaluate. Started by torchrun."),
        ("evaluate", _evaluate, "Accuracy of a model on the held-out questions."),
    ):
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("--config", type=Path, required=True, help="prep.json or run.json")
        sub.set_defaults(command=command)
        if name == "evaluate":
            sub.add_argument("--model", type=Path, help="instead of the run's trained model")
    text = "A finished model to the layout of the original LLaVA."
    sub = commands.add_parser("convert", help=text, description=text)
    sub.add_argument("model", type=Path, help="folder in the Hugging Face layout")
    sub.add_argument("folder", type=Path, help="new folder; LLaVA wants `llava` in its name")
    sub.add_argument("--vision-tower", required=True, help="what config.json names as CLIP")
    sub.add_argument("--without-tower", action="store_true", help="leave CLIP's own weights out")
    sub.set_defaults(command=_convert)
    text = "What is installed here, as JSON: versions, and the attention kernels that can run."
    sub = commands.add_parser("contents", help=text, description=text)
    sub.set_defaults(command=_contents)
    text = "What `qinstruct cache` starts: ls, verify, prune or export, and their options."
    sub = commands.add_parser("cache", help=text, description=text)
    sub.add_argument("arguments", nargs=argparse.REMAINDER)
    sub.set_defaults(command=_cache)
    text = "What `qinstruct data` starts: a report on labels or prepared data."
    sub = commands.add_parser("data", help=text, description=text)
    sub.add_argument("arguments", nargs=argparse.REMAINDER)
    sub.set_defaults(command=_data)
    return parser


# Each command imports what it needs: prep needs no deepspeed, --help no torch.
def _prep(parsed: argparse.Namespace) -> None:
    from qinstruct_trainer.prep.run import run_prep

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop_prep)
    run_prep(PrepConfig.read(parsed.config))


def _train(parsed: argparse.Namespace) -> None:
    with without_collector():
        from qinstruct_trainer.train.run import train

    train(RunConfig.read(parsed.config))


def _evaluate(parsed: argparse.Namespace) -> None:
    with without_collector():
        from qinstruct_trainer.evaluate import evaluate_model, heldout_images
        from qinstruct_trainer.train.ranks import Ranks
        from qinstruct_trainer.train.result.export import export_folder
        from qinstruct_trainer.train.torch_errors import torch_errors

    config = RunConfig.read(parsed.config)
    heldout = Prepared.read(config.prepared).heldout
    if heldout is None:
        raise ConfigError(
            f"{config.prepared} names no held-out questions; only the builtin data set has some"
        )
    model = parsed.model or export_folder(config.output)
    with torch_errors(Ranks(rank=0, local_rank=0, world_size=1)):
        emit(evaluate_model(model, heldout, heldout_images(heldout), label="trained"))


def _convert(parsed: argparse.Namespace) -> None:
    from qinstruct_trainer.contract.summary import ConvertedModel
    from qinstruct_trainer.durable_files import num_bytes
    from qinstruct_trainer.model.original_checks import check_request

    model, folder, with_tower = parsed.model, parsed.folder, not parsed.without_tower
    tower = parsed.vision_tower
    check_request(model, folder, vision_tower=tower, with_tower=with_tower)
    with without_collector():
        from qinstruct_trainer.model.original import write_original

    def note(done: int, total: int) -> None:
        emit(PrepProgress(stage="model", item=folder.name, done=done, total=total, unit="bytes"))

    write_original(model, folder, vision_tower=tower, with_tower=with_tower, progress=note)
    found = ConvertedModel(path=str(folder), num_bytes=num_bytes(folder))
    sys.stdout.write(found.model_dump_json() + "\n")
    sys.stdout.flush()


def _contents(_parsed: argparse.Namespace) -> None:
    from qinstruct_trainer.contents import installed_contents

    sys.stdout.write(installed_contents().model_dump_json(indent=2) + "\n")


def _cache(parsed: argparse.Namespace) -> None:
    from qinstruct_trainer.cache.command import run_cache

    run_cache(parsed.arguments)


def _data(parsed: argparse.Namespace) -> None:
    from qinstruct_trainer.report.command import run_data

    run_data(parsed.arguments)


def end_process(code: int) -> NoReturn:
    """End this process now; whatever must be written or given back has been.

    Python would first take apart thousands of modules: more than a second of each rank's time,
    in which, on GPUs, the destructors of CUDA and NCCL can still hang a finished run.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # nobody reads it any more
            stream.flush()
    os._exit(code)


def _stop_prep(_number: int, _frame: FrameType | None) -> NoReturn:
    raise Stopped("stopped; finished units and downloaded bytes are kept, run again to go on")


def _fail(error: RunError) -> int:
    _leave(Failed(reason=error.reason, message=str(error), exit_code=error.exit_code))
    return error.exit_code


def _leave(failed: Failed) -> None:
    """Say why the run ends: rank 0 to everyone, another rank by the termination message only.

    The first failure is the cause; what follows in other ranks does not replace it. Rank 0
    repeats another rank's.
    """
    # The end is decided: torchrun's SIGTERM to all ranks of a failed run must not hide it.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    failed = failed.model_copy(update={"message": hide_secrets(failed.message)})
    earlier = read_termination_message() if "RANK" in os.environ else None
    if isinstance(earlier, Failed):
        failed = earlier
    if os.environ.get("RANK", "0") == "0":
        if failed.reason != BUG:  # whose traceback stands there already
            say(failed.message)
        emit(failed)
    elif earlier is not failed:
        write_termination_message(failed)


if __name__ == "__main__":
    end_process(main(sys.argv[1:]))
