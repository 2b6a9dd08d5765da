"""Without Go the tests that need it are skipped and say why; nothing else is taken for that."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.readme import ROOT

OF_THE_CHART = "tests/chart/test_version.py"
OF_A_CLUSTER = "tests/cluster/test_harness.py::test_pytorchjob_runs_on_a_fake_node"
NO_GO = "Go 1.26 is not on PATH and cannot be installed from PyPI: install Go ("


def outcome(test: str, folder: Path, **environment: str) -> str:
    """What pytest says of tests where nothing is built, no Go is found and PyPI is away."""
    ours = ("CI", "PATH", "QINSTRUCT_SKIP_CLUSTER")
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    nothing = {"PATH": str(folder), "UV_OFFLINE": "1", "UV_CACHE_DIR": str(folder / "uv")}
    nothing |= {"QINSTRUCT_TEST_CACHE": str(folder / "cache"), "KUBEBUILDER_ASSETS": ""}
    command = [sys.executable, "-m", "pytest", "-n0", "-q", "-rsfE", "-pno:cacheprovider"]
    done = subprocess.run(
        [*command, "-o", "console_output_style=classic", test],
        cwd=ROOT,
        env=kept | nothing | environment,
        capture_output=True,
        text=True,
    )
    return done.stdout


@pytest.mark.parametrize("test", [OF_THE_CHART, OF_A_CLUSTER], ids=["chart", "cluster"])
def test_tests_that_need_go_are_skipped_with_the_way_to_it(test: str, tmp_path: Path) -> None:
    said = outcome(test, tmp_path)
    assert NO_GO in said
    last = said.splitlines()[-1]
    assert "skipped" in last
    assert "failed" not in last
    assert "error" not in last


def test_ci_counts_on_go(tmp_path: Path) -> None:
    said = outcome(OF_THE_CHART, tmp_path, CI="1")
    assert NO_GO in said
    assert " errors in " in said.splitlines()[-1]


def test_a_build_that_fails_is_no_absence(tmp_path: Path) -> None:
    go = tmp_path / "go"
    go.write_text('#!/bin/sh\n[ "$1" = env ] && echo go1.26.6 && exit\necho broken >&2\nexit 1\n')
    go.chmod(0o755)
    said = outcome(OF_THE_CHART, tmp_path, PATH=f"{tmp_path}:/bin:/usr/bin")
    assert "go build failed in" in said
    assert " errors in " in said.splitlines()[-1]


def test_whoever_leaves_them_out_is_told_so(tmp_path: Path) -> None:
    said = outcome(OF_THE_CHART, tmp_path, QINSTRUCT_SKIP_CLUSTER="1")
    assert "QINSTRUCT_SKIP_CLUSTER=1: what needs a real cluster or Go programs" in said
    assert " skipped in " in said.splitlines()[-1]
