"""The secret scan of `make check` finds what must not be published, and asks nobody."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.readme import ROOT

# Put together here, so that the scan does not find them in this file.
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGH"
PLANTED = {
    "a token of the hub": f"see https://x/?t=h{'f_' + LETTERS} for it",
    "an organisation's": f"TOKEN=api_{'org_' + LETTERS}",
    "a cloud's key": f"key: AKIA{'ABCDEFGHIJKLMNOP'}",
    "a token of a forge": f"# gh{'p_' + LETTERS + 'ab'}",
    "a private key": f"-----BEGIN RSA {'PRIVATE'} KEY-----",
    "a password in an address": f"url = https://me:{'hunter' + '2'}@host/a",
    "a password by its name": f'password = "{"hunter" + "2"}"',
}
NO_NETWORK = {"HTTPS_PROXY": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1"}


def scan(*files: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        [ROOT / "scripts/find_secrets.sh", *files],
        env=os.environ | NO_NETWORK | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("line", PLANTED.values(), ids=PLANTED)
def test_a_planted_secret_is_found(line: str, tmp_path: Path) -> None:
    file = tmp_path / "notes.py"
    file.write_text(f"first = 1\n{line}\n", "utf-8")
    found = scan(file)
    assert found.returncode == 1, found
    assert f"{file}:2" in found.stdout
    assert line not in found.stdout


def test_a_digest_and_the_words_of_the_tests_are_none(tmp_path: Path) -> None:
    file = tmp_path / "notes.py"
    file.write_text(
        f'SHA256 = "{"0123456789abcdef" * 4}"\nurl = "https://me:s3cret@host"\n', "utf-8"
    )
    done = scan(file)
    assert (done.returncode, done.stdout) == (0, "")
