"""A real S3 server on loopback: moto's, in a process of its own."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


@dataclass(frozen=True)
class S3Server:
    """Where it is, and its log: one line a request."""

    url: str
    log: Path

    def put(self, path: str, content: bytes = b"") -> None:
        """Make a bucket, or an object in one."""
        request = AWSRequest("PUT", f"{self.url}/{path}")
        S3SigV4QueryAuth(Credentials("me", "s3cret"), "s3", "us-east-1").add_auth(request)
        httpx.put(str(request.url), content=content, trust_env=False).raise_for_status()

    def statuses(self, path: str) -> list[int]:
        """Of the answers to requests for an object so far."""
        answers = re.findall(r'"(?:\x1b\[\d+m)*GET (\S+) \S+" (\d+)', self._text())
        return [int(status) for asked, status in answers if asked.partition("?")[0] == path]

    def _text(self) -> str:
        return re.sub(r"\x1b\[\d+m", "", self.log.read_text("utf-8"))


@contextmanager
def serve(folder: Path) -> Iterator[S3Server]:
    """The server until the block ends; its log is in the folder."""
    log = folder / "s3.log"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        yield S3Server(_address(process, log), log)
    finally:
        process.terminate()
        process.wait()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        found = re.search(r"Running on (http://127\.0\.0\.1:\d+)", log.read_text("utf-8"))
        if found:
            return found[1]
        time.sleep(0.05)
    raise RuntimeError(f"the S3 server did not start: {log.read_text('utf-8')}")
