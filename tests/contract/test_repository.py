"""The repository keeps its own rules: file sizes, names, drawings and links."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from support.readme import ROOT, shell_blocks

PACKAGES = {
    "qinstruct_operator": ROOT / "operator/src/qinstruct_operator",
    "qinstruct_trainer": ROOT / "trainer/src/qinstruct_trainer",
}
MAX_LINES = 400
DOCS = [
    *(
        ROOT / name
        for name in ("README.md", "CONTRIBUTING.md", "helm/qinstruct-operator/README.md")
    ),
    *sorted((ROOT / "docs").rglob("*.md")),
]


def python_files() -> list[Path]:
    folders = ("operator", "trainer", "tests", "bench", "scripts")
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def test_no_file_is_too_long() -> None:
    sizes = {path: len(path.read_text("utf-8").splitlines()) for path in python_files()}
    assert {str(path): size for path, size in sizes.items() if size > MAX_LINES} == {}


def test_nothing_shadows_the_standard_library() -> None:
    assert not (ROOT / "operator/__init__.py").exists()
    assert [path for path in (ROOT / "tests").rglob("operator") if path.is_dir()] == []


def test_every_module_says_what_it_is() -> None:
    for folder in PACKAGES.values():
        for path in folder.rglob("*.py"):
            assert path.read_text("utf-8").startswith('"""'), path


def drawn_modules() -> list[str]:
    """`room.module` names in the hand-drawn half of the architecture page."""
    page = (ROOT / "docs/architecture.md").read_text("utf-8").split("<!-- Below:")[0]
    rooms = "api|core|cluster|cli|contract|data|model|prep|train|evaluate|builtin"
    return sorted(set(re.findall(rf"\b((?:{rooms})\.[a-z_]+)\b", page)))


@pytest.mark.parametrize("name", drawn_modules())
def test_the_drawing_names_modules_that_exist(name: str) -> None:
    path = Path(*name.split("."))
    candidates = [
        base / suffix
        for base in PACKAGES.values()
        for suffix in (path.with_suffix(".py"), path / "__init__.py")
    ]
    assert any(candidate.exists() for candidate in candidates)


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def commands() -> list[str]:
    """The `qinstruct` commands of pages that need no cluster (tests/cluster has those).

    Those on a cache or on data need some: `test_data_page.py` runs them in a folder with both.
    """
    blocks = [block for page in DOCS for block in shell_blocks(page.read_text("utf-8"))]
    lines = [line for block in blocks for line in block if "kubectl" not in " ".join(block)]
    return [line for line in lines if re.match(r"\.venv/bin/qinstruct (?!cache |data )", line)]


@pytest.mark.parametrize("command", sorted({*commands()}))
def test_commands_of_the_pages_run(command: str) -> None:
    _, *arguments = shlex.split(command)
    result = subprocess.run(
        [sys.executable, "-m", "qinstruct_operator", *arguments],
        cwd=ROOT,
        env=os.environ | {"KUBECONFIG": "", "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout


def test_the_operator_may_import_nothing_of_the_trainer_but_the_contract() -> None:
    """The import contract lists what is forbidden: a new module must be added to it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (rule,) = (
        contract
        for contract in project["tool"]["importlinter"]["contracts"]
        if contract["name"].startswith("The operator knows the trainer's contract only")
    )
    prefix = "qinstruct_trainer."
    forbidden = {name for name in rule["forbidden_modules"] if name.startswith(prefix)}
    trainer = PACKAGES["qinstruct_trainer"]
    modules = {path.stem for path in trainer.glob("*.py")} | {
        path.parent.name for path in trainer.glob("*/__init__.py")
    }
    assert forbidden == {f"{prefix}{name}" for name in modules - {"__init__", "contract"}}
