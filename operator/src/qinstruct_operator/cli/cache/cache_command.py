"""`qinstruct cache ls|verify|prune|export`."""

import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from qinstruct_operator.cli.cache.options import age_seconds, size_bytes
from qinstruct_operator.cli.cache.show_cache import (
    VerifyProgress,
    show_copied,
    show_damaged,
    show_listing,
    show_pruned,
)
from qinstruct_operator.cli.trainer import ask_trainer, interpreter
from qinstruct_trainer.contract.cache import CacheListing, CopiedUnit, Pruned, Verified
from qinstruct_trainer.contract.errors import EXIT_DATA, EXIT_OK, ConfigError
from qinstruct_trainer.contract.launch import cache_command


@dataclass(frozen=True)
class EndedRuns:
    """Which runs a person says to have ended: by name, or all that have prepared so long ago."""

    names: Sequence[str] = ()
    after: str | None = None

    def arguments(self) -> list[str]:
        """For the trainer."""
        named = [f"--ended={name}" for name in self.names]
        if self.after is None:
            return named
        return [*named, f"--runs-end-after={age_seconds('--runs-end-after', self.after)}"]


@dataclass(frozen=True)
class PruneConditions:
    """What to delete, as the options say it: all of those given must be met."""

    unused: str | None = None
    keep: str | None = None
    unreferenced: bool = False

    def arguments(self) -> list[str]:
        """For the trainer.

        Raises:
            ConfigError: there is no condition, or one cannot be read.
        """
        given = [
            *([f"--unused={age_seconds('--unused', self.unused)}"] if self.unused else []),
            *([f"--keep={size_bytes('--keep', self.keep)}"] if self.keep else []),
            *(["--unreferenced"] if self.unreferenced else []),
        ]
        if not given:
            raise ConfigError(
                "prune needs a condition; give --unused 30d, --keep 500Gi or --unreferenced, or "
                "several, which must all be met"
            )
        return given


def check_options(group: Any, command: str, arguments: Sequence[str]) -> None:
    """Read the options of a command that a Job will run, as that command reads them.

    Args:
        group: Typer's command `cache`.
        command: `ls`, `verify` or `prune`.
        arguments: Its options.

    Raises:
        ConfigError: one cannot be read; prune has no condition; a cache is named.
        UsageError: of the command line's parser: the command has no such option.
    """
    name = f"qinstruct cache {command}"  # as the parser's words give it
    context = group.commands[command].make_context(name, [*arguments])
    options: Mapping[str, Any] = context.params
    if context.get_parameter_source("cache").name != "DEFAULT":
        raise ConfigError(
            f"--cache {options['cache']!s:.200} is a folder of this machine, and the Job's "
            "cache is in a claim; name that one by --claim"
        )
    if command == "prune":
        PruneConditions(
            options["unused"], options["keep"], unreferenced=options["unreferenced"]
        ).arguments()
    EndedRuns(options.get("ended") or (), options.get("runs_end_after")).arguments()


def list_cache(console: Console, cache: Path, ended: EndedRuns, *, as_json: bool) -> int:
    """Show all of a cache; the exit code."""
    command = cache_command(interpreter(), ["ls", f"--cache={cache}", *ended.arguments()])
    found = ask_trainer(command, CacheListing)
    if as_json:
        sys.stdout.write(found.model_dump_json(indent=2) + "\n")
    else:
        show_listing(console, found, time.time())
    return EXIT_OK


def verify_cache(console: Console, cache: Path) -> int:
    """Read every file and show the damaged units; the exit code."""
    with closing(VerifyProgress(console)) as progress:
        command = cache_command(interpreter(), ["verify", f"--cache={cache}"])
        found = ask_trainer(command, Verified, progress.show)
    show_damaged(console, found)
    return EXIT_DATA if found.damaged else EXIT_OK


def prune_cache(
    console: Console, cache: Path, conditions: PruneConditions, ended: EndedRuns, *, yes: bool
) -> int:
    """Delete what meets the conditions, or show what would be deleted; the exit code."""
    arguments = ["prune", f"--cache={cache}", *conditions.arguments(), *ended.arguments()]
    found = ask_trainer(
        cache_command(interpreter(), [*arguments, *(["--yes"] if yes else [])]), Pruned
    )
    show_pruned(console, found, time.time())
    return EXIT_OK


def export_unit(console: Console, cache: Path, unit: str, output: Path, *, link: bool) -> int:
    """Copy a unit, or write the merged label file; the exit code."""
    options = [f"--cache={cache}", f"--unit={unit}", f"--output={output}"]
    command = cache_command(interpreter(), ["export", *options, *(["--link"] if link else [])])
    show_copied(console, ask_trainer(command, CopiedUnit))
    return EXIT_OK
