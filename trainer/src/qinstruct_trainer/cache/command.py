"""`python -m qinstruct_trainer cache ls|verify|prune|export`: prints a document.

They are those of `contract.cache`; `qinstruct cache` starts it and draws what it prints.
"""

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel

from qinstruct_trainer.cache.check import check_cache
from qinstruct_trainer.cache.choice import Conditions
from qinstruct_trainer.cache.export import export
from qinstruct_trainer.cache.listing import Ended, list_cache, num_bytes_of
from qinstruct_trainer.cache.prune import prune
from qinstruct_trainer.contract.cache import CacheListing
from qinstruct_trainer.contract.events import emit
from qinstruct_trainer.storage_errors import file_sentence, storage_errors


def run_cache(arguments: Sequence[str]) -> None:
    """Run one command of a cache.

    Raises:
        RunError: a sentence for the user.
    """
    parsed = _parser().parse_args(arguments)
    with storage_errors(str(parsed.cache), file_sentence):
        found: BaseModel = parsed.command(parsed, time.time())
    sys.stdout.write(found.model_dump_json() + "\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m qinstruct_trainer cache")
    commands = parser.add_subparsers(required=True)
    for name, command in (("ls", _ls), ("verify", _verify), ("prune", _prune), ("export", _export)):
        sub = commands.add_parser(name)
        sub.set_defaults(command=command)
        sub.add_argument("--cache", type=Path, required=True)
        if command in (_ls, _prune):
            sub.add_argument("--ended", action="append", default=[])
            sub.add_argument("--runs-end-after", type=float, help="seconds")
        if command is _prune:
            sub.add_argument("--unused", type=float, help="seconds")
            sub.add_argument("--keep", type=int, help="bytes")
            sub.add_argument("--unreferenced", action="store_true")
            sub.add_argument("--yes", action="store_true")
        if command is _export:
            sub.add_argument("--unit", required=True)
            sub.add_argument("--output", type=Path, required=True)
            sub.add_argument("--link", action="store_true")
    return parser


def _ls(parsed: argparse.Namespace, now: float) -> BaseModel:
    root = parsed.cache.absolute()
    found = list_cache(root, now, _ended(parsed))
    return CacheListing(
        root=str(root),
        entries=tuple(one.entry for one in found),
        num_bytes=num_bytes_of(found),
        free_bytes=shutil.disk_usage(root).free,
    )


def _verify(parsed: argparse.Namespace, now: float) -> BaseModel:
    return check_cache(parsed.cache.absolute(), now, emit)


def _prune(parsed: argparse.Namespace, now: float) -> BaseModel:
    conditions = Conditions(parsed.unused, parsed.unreferenced, parsed.keep)
    return prune(parsed.cache.absolute(), conditions, _ended(parsed), now, yes=parsed.yes)


def _export(parsed: argparse.Namespace, now: float) -> BaseModel:
    root, target = parsed.cache.absolute(), parsed.output.absolute()
    return export(root, parsed.unit, target, now, link=parsed.link)


def _ended(parsed: argparse.Namespace) -> Ended:
    return Ended(frozenset(parsed.ended), parsed.runs_end_after)
