"""What a test does that needs the Go programs: it builds them, or says why it cannot run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

import pytest

from cluster.harness.programs import BuildError, NoGoError, program


def left_out() -> str | None:
    """Why nothing that needs a cluster is to be run, in a sentence; None when it is."""
    if os.environ.get("QINSTRUCT_SKIP_CLUSTER") == "1":
        return "QINSTRUCT_SKIP_CLUSTER=1: what needs a real cluster or Go programs is left out"
    return None


@cache
def build(*names: str) -> None:
    """Build before a test's clock starts, once a worker: from nothing it takes longer than a test.

    `reporting` tells what cannot be built.
    """
    if left_out() is None:
        with suppress(BuildError):
            for name in names:
                program(name)


@contextmanager
def reporting() -> Iterator[None]:
    """Skip the test where there is no Go, unless CI counts on it; fail where a build fails."""
    if reason := left_out():
        pytest.skip(reason)
    try:
        yield
    except BuildError as error:
        if isinstance(error, NoGoError) and not os.environ.get("CI"):
            pytest.skip(str(error))
        pytest.fail(
            f"{error}\nQINSTRUCT_SKIP_CLUSTER=1 leaves out what needs a real cluster.",
            pytrace=False,
        )
