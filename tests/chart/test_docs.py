"""What the pages say to Helm is what the chart takes."""

import os
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from cluster.harness.programs import program
from support.helm_chart import CHART, NAMESPACE, RELEASE
from support.readme import ROOT

pytestmark = pytest.mark.cluster

PAGES: Final = (ROOT / "README.md", ROOT / "docs" / "operations.md", CHART / "README.md")


def commands() -> list[str]:
    """Each `helm install`, and one for each `--set` that stands in a sentence or a table."""
    found = set()
    for page in PAGES:
        text = page.read_text("utf-8").replace("\\\n", " ")
        found |= set(re.findall(r"^ *(helm install .*)$", text, re.MULTILINE))
        for options in re.findall(r"`(--set [^`]+)`", text):
            where = f"{CHART.relative_to(ROOT)} --namespace {NAMESPACE}"
            found.add(f"helm install {RELEASE} {where} {options}")
    return sorted(found)


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_pages_is_taken(command: str) -> None:
    folders = [str(program("helm").parent), os.environ["PATH"]]
    done = subprocess.run(
        ["bash", "-c", command.replace("helm install", "helm template", 1)],
        cwd=ROOT,
        env=os.environ | {"PATH": os.pathsep.join(folders)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    watched = re.search(r"watchNamespaces=\{([^}]*)", command)
    for namespace in watched.group(1).split(",") if watched else ():
        assert f"--namespace={namespace}" in done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_value_that_a_page_names_exists(page: Path) -> None:
    table = (CHART / "README.md").read_text("utf-8")
    values = set(re.findall(r"^\| `([a-zA-Z.]+)` \|", table, re.MULTILINE))
    groups = {value.split(".")[0] for value in values}
    dotted = re.findall(r"[`,= ]([a-z][a-zA-Z]+(?:\.[a-zA-Z]+)+)", page.read_text("utf-8"))
    named = {name for name in dotted if name.split(".")[0] in groups}
    assert named
    # `resources.limits.cpu` is a part of the value `resources`.
    assert {one for one in named if not any(f"{one}.".startswith(f"{v}.") for v in values)} == set()
