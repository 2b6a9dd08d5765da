"""Objects of a real S3 server: fetched, resumed, changed meanwhile, refused."""

import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qinstruct_trainer.contract.config import Source
from qinstruct_trainer.contract.errors import ConfigError, DataError, UnavailableError
from qinstruct_trainer.prep.progress import Progress
from qinstruct_trainer.prep.sources.answers import Stamp
from qinstruct_trainer.prep.sources.http import ask_version, fetch, served
from qinstruct_trainer.prep.sources.limits import Limits
from qinstruct_trainer.prep.sources.retry import Retry
from support.prep.prep_json import write_prep_json
from support.prep.s3_server import S3Server, serve

CONTENT = random.Random(0).randbytes(3_000_000)
QUICK = Retry(attempts=3, first_seconds=0.01, max_seconds=0.02)
LOOPBACK = Limits(networks=("127.0.0.0/8",))
URL = "s3://bucket/folder/a%20file.tar"
KEY = "/bucket/folder/a%20file.tar"


class _Stopped(BaseException):
    """As a kill: nothing of the download runs after it."""


class _Stopping(Progress):
    def set(self, done: int) -> None:
        super().set(done)
        if 0 < done < len(CONTENT):
            raise _Stopped


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with serve(tmp_path_factory.mktemp("s3")) as server:
        server.put("bucket")
        yield server


@pytest.fixture
def server(running: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """With one object, which the environment has keys for."""
    running.put(KEY.lstrip("/"), CONTENT)
    running.log.write_bytes(b"")
    monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    return running


def get(
    folder: Path,
    url: str = URL,
    limits: Limits = LOOPBACK,
    progress: type[Progress] = Progress,
    sha256: str | None = None,
) -> bytes:
    source = Source(name="q-instruct-images", kind="images", url=url, sha256=sha256)
    made = progress(lambda _: None, "fetch", "images", "bytes")
    return fetch(source, folder / "part", made, QUICK, limits).read_bytes()


def test_an_object_is_fetched_and_its_digest_checked(server: S3Server, tmp_path: Path) -> None:
    assert get(tmp_path, sha256=hashlib.sha256(CONTENT).hexdigest()) == CONTENT
    with pytest.raises(DataError, match=f"{URL} has sha256"):
        get(tmp_path, sha256="0" * 64)


def test_an_object_is_asked_for_its_version_by_the_address_it_is_fetched_by(
    server: S3Server, tmp_path: Path
) -> None:
    get(tmp_path)
    source = Source(name="q-instruct-images", kind="images", url=URL)
    url, stamp = served(source, tmp_path / "part", tmp_path / "part")
    assert (url, stamp.num_bytes) == (URL, len(CONTENT))
    assert stamp.is_of(ask_version(source, LOOPBACK))
    assert server.statuses(KEY) == [200, 206]
    server.put(KEY.lstrip("/"), CONTENT[::-1])  # as large as before
    assert stamp.is_of(ask_version(source, LOOPBACK)) is False
    assert stamp != Stamp()


def test_a_stopped_download_goes_on(server: S3Server, tmp_path: Path) -> None:
    with pytest.raises(_Stopped):
        get(tmp_path, progress=_Stopping)
    assert 0 < (tmp_path / "part").stat().st_size < len(CONTENT)
    assert get(tmp_path) == CONTENT
    assert server.statuses(KEY) == [200, 206]


def test_an_object_that_has_changed_meanwhile_is_fetched_anew(
    server: S3Server, tmp_path: Path
) -> None:
    with pytest.raises(_Stopped):
        get(tmp_path, progress=_Stopping)
    changed = CONTENT[::-1]
    server.put(KEY.lstrip("/"), changed)
    is_the_other = get(tmp_path) == changed
    assert is_the_other
    assert server.statuses(KEY) == [200, 412, 200]


def test_without_keys_the_store_refuses_and_the_sentence_names_them(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(UnavailableError) as caught:
        get(tmp_path)
    assert str(caught.value) == (
        f"q-instruct-images cannot be fetched from {URL}: the server answers 403 Forbidden; "
        "correct data.sources.q-instruct-images.url or set it to a mirror, or give keys that may "
        "read it, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, and in AWS_REGION the bucket's region, "
        "in the Secret of data.tokenSecretRef (with `qinstruct run`: in the environment)"
    )


def test_an_object_that_is_not_there_is_named(server: S3Server, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="from s3://bucket/none: the server answers 404 Not"):
        get(tmp_path, "s3://bucket/none")


def test_the_bounds_of_a_download_hold(server: S3Server, tmp_path: Path) -> None:
    few = Limits(max_bytes=1000, networks=LOOPBACK.networks)
    with pytest.raises(DataError, match="has more than 1,000 bytes"):
        get(tmp_path, limits=few)
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1, which is no public.*PRIVATE_NETWORKS"):
        get(tmp_path, limits=Limits(networks=()))
    assert len(server.statuses(KEY)) == 1


def test_no_word_and_no_file_of_prep_has_a_key_or_a_signature(
    server: S3Server, tmp_path: Path
) -> None:
    server.put("bucket/labels.json", b"[1, 2]")
    labels = Source(name="q-instruct-labels", kind="labels", url="s3://bucket/labels.json")
    dead = labels.model_copy(update={"url": "s3://bucket/none", "mirrors": (labels.url,)})
    config = write_prep_json(tmp_path / "prep", "run", [dead])
    done = subprocess.run(
        [sys.executable, "-m", "qinstruct_trainer", "prep", "--config", str(config)],
        env=os.environ | {"QINSTRUCT_TERMINATION_LOG": str(tmp_path / "prep" / "last.json")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "q-instruct-labels comes from its mirror s3://bucket/labels.json" in done.stderr
    assert "no record is usable" in done.stderr
    files = [path for path in (tmp_path / "prep").rglob("*") if path.is_file()]
    assert len(files) > 2
    for secret in ("s3cret", "X-Amz"):
        assert secret not in done.stdout + done.stderr
        assert [p for p in files if secret in str(p) or secret.encode() in p.read_bytes()] == []
