"""What publishes chart and images: workflows, notes, and the licences of what is in them."""

import importlib.util
import re
import shutil
import subprocess
import sys
from importlib.metadata import PathDistribution
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest
import yaml

from cluster.harness.programs import program
from qinstruct_operator.constants import VERSION
from support.readme import ROOT

pytestmark = pytest.mark.cluster

WORKFLOWS: Final = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))


def test_actionlint_has_nothing_to_say() -> None:
    done = subprocess.run(
        [program("actionlint"), "-no-color", *WORKFLOWS], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_workflows_pin_what_they_use_and_may_write_only_where_they_say_so(file: Path) -> None:
    text = file.read_text("utf-8")
    workflow: dict[Any, Any] = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    used = re.findall(r"uses: (\S+)", text)
    assert used
    assert [one for one in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", one)] == []
    # What a stranger chooses (a title, a branch) must not become a part of a script.
    scripts = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    assert [one for one in scripts if "${{" in one] == []


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What the notes are made from, to be changed."""
    for name in ("pyproject.toml", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    return tmp_path


def release_notes(folder: Path, tag: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(folder / "scripts" / "release_notes.py"), tag]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_notes_are_the_changelogs_part(copy: Path) -> None:
    parts = (
        "# Changelog",
        "## [Unreleased]",
        f"## [{VERSION}] - 2027-01-01",
        "- One.",
        "## [0.0]",
        "- Old.",
    )
    (copy / "CHANGELOG.md").write_text("\n\n".join(parts), "utf-8")
    assert release_notes(copy, f"v{VERSION}").stdout == "- One.\n"


@pytest.mark.parametrize(
    ("tag", "sentence"),
    [
        ("v9.9.9", f"The tag v9.9.9 is not v{VERSION}, the version in pyproject.toml."),
        (f"v{VERSION}", f"CHANGELOG.md has no part [{VERSION}]: give [Unreleased] this name"),
    ],
)
def test_a_release_that_is_not_ready_is_refused(copy: Path, tag: str, sentence: str) -> None:
    (copy / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n\n- One.\n", "utf-8")
    done = release_notes(copy, tag)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_every_package_of_the_images_has_a_licence() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "licences.py"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert rows["kopf"].split()[2:] == ["operator", "MIT"]
    assert rows["torch"].split()[2] == "trainer"
    assert "operator, trainer" in rows["pydantic"]


def licences() -> ModuleType:
    spec = importlib.util.spec_from_file_location("licences", ROOT / "scripts" / "licences.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("License-Expression: MIT\nLicense: something", "MIT"),
        ("Classifier: License :: OSI Approved :: MIT License\nLicense: long", "MIT License"),
        ("License: BSD\n  and more of it", "BSD"),
        ("Summary: x", "not said"),
    ],
)
def test_where_a_package_says_its_licence(tmp_path: Path, fields: str, expected: str) -> None:
    folder = tmp_path / "some-1.0.dist-info"
    folder.mkdir()
    header = "Metadata-Version: 2.1\nName: some\nVersion: 1.0\n"
    (folder / "METADATA").write_text(f"{header}{fields}\n", "utf-8")
    assert licences().licence(PathDistribution(folder)) == expected
