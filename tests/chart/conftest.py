"""The programs that judge the chart, built once; they are Go programs, as the test cluster's."""

import os
from collections.abc import Generator
from contextlib import suppress
from functools import cache
from typing import Final

import pytest

from cluster.harness.programs import BuildError, program

PROGRAMS: Final = ("helm", "kubectl", "kube-score", "actionlint")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Build before a test's clock starts: from nothing it takes longer than a test may."""
    if not _skipped():
        _build_programs()
    return (yield)


@pytest.fixture(autouse=True, scope="session")
def _programs() -> None:
    if _skipped():
        pytest.skip("QINSTRUCT_SKIP_CLUSTER=1: tests that need Go programs are left out")
    try:
        for name in PROGRAMS:
            program(name)
    except BuildError as error:
        pytest.fail(f"{error}\nQINSTRUCT_SKIP_CLUSTER=1 leaves this out.", pytrace=False)


@cache
def _build_programs() -> None:
    with suppress(BuildError):  # the fixture reports it
        for name in PROGRAMS:
            program(name)


def _skipped() -> bool:
    return os.environ.get("QINSTRUCT_SKIP_CLUSTER") == "1"
