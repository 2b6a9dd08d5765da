"""What workflows and pages ask of make exists: its targets, and the variables that they set."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from contract.test_repository import DOCS
from support.readme import ROOT

WORKFLOWS: Final = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
MAKEFILE: Final = (ROOT / "Makefile").read_text("utf-8")
TARGETS: Final = frozenset(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
READ_BY_MAKE: Final = frozenset(
    name
    for text in (MAKEFILE, *(path.read_text("utf-8") for path in ROOT.glob("scripts/*.sh")))
    for name in re.findall(r"\b[A-Z][A-Z_]+\b", text)
)
READ_BY_PROGRAMS: Final = {"gh": {"GH_TOKEN"}}


def unknown_to_make(commands: str) -> list[str]:
    """The targets and variables of lines that begin with `make` which are not there."""
    lines = commands.replace("\\\n", " ").splitlines()
    words = [shlex.split(line, comments=True) for line in lines if re.match(r"\s*make\b", line)]
    return [
        word
        for word in (word for line in words for word in line[1:])
        if word not in TARGETS and word.partition("=")[0] not in READ_BY_MAKE
    ]


def steps(file: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each step with its job."""
    workflow = yaml.safe_load(file.read_text("utf-8"))
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            yield job, step


def reads(script: str) -> set[str]:
    """The variables that a step's commands read."""
    read = set(re.findall(r"\$\{?([A-Z][A-Z_]+)", script))
    if re.search(r"^(make|\.ci/run)\b", script, re.MULTILINE):
        read |= READ_BY_MAKE
    programs = [names for program, names in READ_BY_PROGRAMS.items() if f"{program} " in script]
    return read.union(*programs)


@pytest.mark.parametrize("file", [*WORKFLOWS, ROOT / ".ci" / "run"], ids=lambda file: file.stem)
def test_what_ci_asks_of_make_is_there(file: Path) -> None:
    is_workflow = file.suffix == ".yaml"
    scripts = (
        [step.get("run", "") for _, step in steps(file)] if is_workflow else [file.read_text()]
    )
    assert [word for script in scripts for word in unknown_to_make(script)] == []


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_what_a_page_asks_of_make_is_there(page: Path) -> None:
    text = page.read_text("utf-8")
    blocks = re.findall(r"^```shell\n((?:.*\n)*?)```|^    (\S.*)", text, re.MULTILINE)
    assert unknown_to_make("\n".join([*map("".join, blocks)])) == []
    assert unknown_to_make("\n".join(re.findall(r"`(make [^`]+)`", text))) == []


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_a_workflow_sets_only_what_its_commands_read(file: Path) -> None:
    found = list(steps(file))
    for job, step in found:
        of_job = set[str]().union(*(reads(s.get("run", "")) for j, s in found if j is job))
        assert set(job.get("env", {})) <= of_job
        assert set(step.get("env", {})) <= reads(step.get("run", ""))


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_a_workflow_calls_files_that_are_there(file: Path) -> None:
    for _, step in steps(file):
        for name in re.findall(r"(?<![\w/])(?:\.ci|scripts)/[\w.]+", step.get("run", "")):
            assert (ROOT / name).exists(), name


@pytest.mark.parametrize(
    ("commands", "unknown"),
    [
        ("make imgaes", ["imgaes"]),
        ("make setup\nmake images REGISTER=x sbom", ["REGISTER=x"]),
        ("make images \\\n  PINED=1", ["PINED=1"]),
        ("  make test-al  # all", ["test-al"]),
        ("make images PINNED=1 BASE=x@sha256:0\necho make nothing", []),
    ],
)
def test_what_is_not_there_is_seen(commands: str, unknown: list[str]) -> None:
    assert unknown_to_make(commands) == unknown
