"""The programs that judge the chart, built once; they are Go programs, as the test cluster's."""

from collections.abc import Generator
from typing import Final

import pytest

from cluster.harness import needs
from cluster.harness.programs import program

PROGRAMS: Final = ("helm", "kubectl", "kube-score", "actionlint")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Build before a test's clock starts: from nothing it takes longer than a test may."""
    needs.build(*PROGRAMS)
    return (yield)


@pytest.fixture(autouse=True, scope="session")
def _programs() -> None:
    with needs.reporting():
        for name in PROGRAMS:
            program(name)
