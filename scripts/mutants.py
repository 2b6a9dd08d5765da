"""Mutation testing: small bugs are put into the code one at a time, and the tests ought to notice.

`make mutants` tries a sample of each room by the fast tests of that room; the same seed draws the
same mutants. What was tried is kept in `build/mutants` until the code changes, so that a run can
be stopped and goes on, and a larger sample adds to a smaller one. The table says how many were
noticed; `build/mutants/survivors.txt` has the others as diffs, for a person to read.

mutmut takes the path of a module for its name, so it runs in a copy with both packages below `src`.
It mutates the bodies of functions: decorated ones (properties) and what a module says at its top
(constants, fields) are left out.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import libcst as cst
import libcst.matchers as m
from rich.console import Console
from rich.table import Table

ROOT: Final = Path(__file__).resolve().parents[1]
BUILD: Final = ROOT / "build" / "mutants"
PACKAGES: Final = ("operator/src/qinstruct_operator", "trainer/src/qinstruct_trainer")
LINKED: Final = ("tests", "crds", "docs", "manifests", "pyproject.toml", "README.md")
NOTICED: Final = frozenset({"killed", "timeout", "segfault", "suspicious"})


@dataclass(frozen=True)
class Room:
    """What is mutated together.

    Attributes:
        modules: patterns of their paths below the copy's folder.
        tests: the files and folders whose fast tests ought to notice.
    """

    modules: tuple[str, ...]
    tests: tuple[str, ...]


def _room(path: str, *more_tests: str) -> Room:
    """The modules of a folder below a package, and the tests at the mirrored path."""
    return Room((f"src/{path}/*.py",), (f"tests/unit/{path}", *more_tests))


_CORE: Final = "qinstruct_operator/core"
_SINGLE: Final = (
    *("backends/pytorchjob", "condition_list", "decide", "names", "pin", "quantity", "render"),
    *("run", "times", "untyped_json"),
)
ROOMS: Final = {
    "api": _room("qinstruct_operator/api"),
    "core": Room(tuple(f"src/{_CORE}/{name}.py" for name in _SINGLE), (f"tests/unit/{_CORE}",)),
    "core/plan": _room(f"{_CORE}/plan", f"tests/unit/{_CORE}/children"),
    "core/children": _room(f"{_CORE}/children", f"tests/unit/{_CORE}/plan/test_nothing_ignored.py"),
    "core/fit": _room(f"{_CORE}/fit"),
    "core/judge": _room(f"{_CORE}/judge", f"tests/unit/{_CORE}/test_properties.py"),
    "contract": _room("qinstruct_trainer/contract"),
    "data": _room("qinstruct_trainer/data", "tests/oracle"),
    "prep": _room("qinstruct_trainer/prep", "tests/faults/prep"),
    "train/checkpoint": _room("qinstruct_trainer/train/checkpoint"),
}


def main() -> None:
    """Each room in a process of its own, since mutmut has one configuration a process."""
    options = _options()
    if options.room:
        _try_room(options.room, options)
        return
    rooms = options.rooms or list(ROOMS)
    for room in rooms:
        _stage(_folder(room))
        command = [sys.executable, Path(__file__).resolve(), *sys.argv[1:], "--room", room]
        subprocess.run(command, cwd=_folder(room), check=True)
    report = Table("room", "mutants", "tried", "noticed", "survived", "no test", "rate")
    with (BUILD / "survivors.txt").open("w", encoding="utf-8") as out:
        for room in rooms:
            report.add_row(room, *(_folder(room) / "row.txt").read_text("utf-8").split())
            out.write((_folder(room) / "survivors.txt").read_text("utf-8"))
    Console().print(report)
    sys.stdout.write("Those that survived are in build/mutants/survivors.txt\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rooms", nargs="*", choices=[[], *ROOMS], help="all, if none is named")
    parser.add_argument("--sample", type=int, default=60, help="mutants a room (60); 0: all")
    parser.add_argument("--seed", default="0", help="of the sample")
    parser.add_argument("--again", action="store_true", help="try those again that survived")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--room", help=argparse.SUPPRESS)
    return parser.parse_args()


def _folder(room: str) -> Path:
    return BUILD / room.replace("/", "-")


def _stage(folder: Path) -> None:
    """Copy the sources, link the rest; forget which test runs what when a test has changed."""
    shutil.rmtree(folder / "src", ignore_errors=True)
    shutil.rmtree(folder / "mutants" / "tests", ignore_errors=True)
    for package in PACKAGES:
        source = ROOT / package
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, folder / "src" / source.name, ignore=ignored)
    for name in LINKED:
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(ROOT / name)
    statistics = folder / "mutants" / "mutmut-stats.json"
    newest = max(path.stat().st_mtime for path in (ROOT / "tests").rglob("*.py"))
    if statistics.exists() and statistics.stat().st_mtime < newest:
        statistics.unlink()


def _try_room(room: str, options: argparse.Namespace) -> None:
    """Make the mutants, try those of the sample that are due, write what became of them."""
    # It reads its configuration where it is imported, so not before the folder is this one.
    import mutmut.__main__ as mutmut
    from mutmut.configuration import config
    from mutmut.mutation.diff_apply import get_diff_for_mutant
    from mutmut.mutation.mutators import mutation_operators

    mutation_operators.append((cst.Expr, _drop_call))
    config().only_mutate = list(ROOMS[room].modules)
    config().pytest_add_cli_args_test_selection = list(ROOMS[room].tests)
    with mutmut.CatchOutput():
        mutmut.copy_src_dir()
        mutmut.create_mutants(options.jobs)
    drawn = sorted(_results(), key=lambda name: _place(name, options.seed))
    drawn = drawn[: options.sample or None]
    results = _results()
    due = [
        name
        for name in drawn
        if results[name] == "not checked" or (options.again and results[name] not in NOTICED)
    ]
    sys.stdout.write(f"{room}: {len(drawn)} of {len(results)} drawn, {len(due)} to be tried\n")
    if due:
        mutmut._run(due, options.jobs)
        results = _results()
    survivors = [name for name in drawn if results[name] not in NOTICED]
    untested = sum(results[name] == "no tests" for name in drawn)
    noticed = len(drawn) - len(survivors)
    rate = f"{noticed / max(1, len(drawn)):.0%}"
    row = (len(results), len(drawn), noticed, len(survivors) - untested, untested, rate)
    Path("row.txt").write_text(" ".join(map(str, row)), "utf-8")
    with Path("survivors.txt").open("w", encoding="utf-8") as out:
        for name in survivors:
            out.write(f"# {name}: {results[name]}\n{get_diff_for_mutant(name)}\n\n")


def _drop_call(node: cst.Expr) -> Iterator[cst.Pass]:
    """A mutant that mutmut has not: a call made for its effect alone is left out, e.g. an fsync."""
    if m.matches(node.value, m.Call()):
        yield cst.Pass()


def _place(name: str, seed: str) -> str:
    """Where the seed puts a mutant; other mutants do not matter, so that samples stay alike."""
    return hashlib.sha256(f"{seed} {name}".encode()).hexdigest()


def _results() -> dict[str, str]:
    """What became of every mutant, by its name."""
    from mutmut.mutation.data import SourceFileMutationData
    from mutmut.stats import status_by_exit_code
    from mutmut.utils.file_utils import walk_mutatable_files

    results: dict[str, str] = {}
    for path in walk_mutatable_files():
        data = SourceFileMutationData(path=path)
        data.load()
        results |= {name: status_by_exit_code[code] for name, code in data.exit_code_by_key.items()}
    return results


if __name__ == "__main__":
    main()
