"""Options of the whole test run."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from support import matrix
from support.tmpfs import tmpfs

# A failure in CI must be one that everybody can repeat; new examples are looked for at home. No
# deadlines: how long an example takes says more about the machine than about the code.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("home", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "home")

# No test may talk to the cluster of whoever runs it; those that need one name their own.
os.environ["KUBECONFIG"] = os.devnull


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="rewrite the golden files from what the code gives now, instead of comparing",
    )


def pytest_report_header() -> str:
    """Which part of the long matrices is run."""
    return matrix.described()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that may take longest start first: no worker is left with one of them at the end."""
    items.sort(key=_timeout, reverse=True)


def _timeout(item: pytest.Item) -> float:
    """Seconds that its file asks for; 0 where it does not."""
    module = item.getparent(pytest.Module)
    marks = module.own_markers if module else []
    return max((mark.args[0] for mark in marks if mark.name == "timeout"), default=0)


@pytest.fixture(scope="session")
def update_golden(pytestconfig: pytest.Config) -> bool:
    """Whether golden files are rewritten."""
    return bool(pytestconfig.getoption("--update-golden"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 1 MiB."""
    with tmpfs(tmp_path / "disk", "size=1m") as folder:
        yield folder
