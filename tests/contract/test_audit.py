"""`make audit` takes no silence for good news."""

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.readme import ROOT

SCRIPT = ROOT / "scripts/audit.py"
Audit: Any = runpy.run_path(str(SCRIPT))["Audit"]

# As pip-audit prints it.
CLEAN = {"name": "rich", "version": "15.0.0", "vulns": []}
SKIPPED = {"name": "uv", "skip_reason": "Dependency not found on PyPI and could not be audited: uv"}
BAD = {
    "name": "jinja2",
    "version": "2.4.1",
    "vulns": [
        {"id": "PYSEC-2014-8", "fix_versions": ["2.7.2"], "aliases": [], "description": "x"},
        {"id": "PYSEC-2099-1", "fix_versions": [], "aliases": [], "description": "x"},
    ],
}


@pytest.mark.parametrize(
    ("packages", "exit_code", "said"),
    [
        ([CLEAN], 0, ["no known vulnerability in 1 packages"]),
        (
            [CLEAN, BAD],
            1,
            [
                "jinja2 2.4.1: PYSEC-2014-8 (mended in 2.7.2)",
                "jinja2 2.4.1: PYSEC-2099-1 (mended in no version yet)",
            ],
        ),
        ([CLEAN, SKIPPED], 2, ["knows nothing of 1 of 2 packages, uv for one"]),
        ([BAD, SKIPPED], 1, ["PYSEC-2014-8", "PYSEC-2099-1", "knows nothing of 1 of 2"]),
    ],
    ids=["clean", "bad", "skipped", "both"],
)
def test_what_is_said_of_a_report(
    packages: list[dict[str, Any]], exit_code: int, said: list[str]
) -> None:
    audit = Audit.of({"dependencies": packages, "fixes": []})
    assert audit.exit_code() == exit_code
    lines = audit.lines()
    assert len(lines) == len(said)
    assert all(part in line for part, line in zip(said, lines, strict=True))


@pytest.mark.slow
def test_a_service_that_cannot_be_reached_is_said_in_a_sentence(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text("rich==15.0.0 --hash=sha256:" + "0" * 64 + "\n", "utf-8")
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:1", "https_proxy": "http://127.0.0.1:1"}
    own = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "PIP_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, SCRIPT, lock],
        env=os.environ | nowhere | own,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("PyPI's vulnerability service cannot be reached (")
    assert len(done.stderr.splitlines()) == 1
