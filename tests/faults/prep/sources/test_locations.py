"""The hub's files: with a token, without one, with a wrong one, and where the token may not go."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from qinstruct_trainer.contract.config import Source
from qinstruct_trainer.contract.errors import EXIT_UNAVAILABLE, ConfigError, UnavailableError
from qinstruct_trainer.prep.progress import Progress
from qinstruct_trainer.prep.sources.http import ask_version, fetch, served
from qinstruct_trainer.prep.sources.limits import Limits
from qinstruct_trainer.prep.sources.retry import Retry
from support.prep.hub_server import Hub, serve
from support.prep.prep_json import write_prep_json

URL = "hf://datasets/me/private-set@v1/folder/labels.json"
SHOWN = f"q-instruct-labels cannot be fetched from {URL}: the server answers "
TOKEN = "hf_s3cret"
QUICK = Retry(attempts=2, first_seconds=0.01, max_seconds=0.02)


def get(
    hub: Hub,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    token: str | None,
    networks: tuple[str, ...] | None = None,
    url: str = URL,
) -> bytes:
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    else:
        monkeypatch.delenv("HF_TOKEN", raising=False)
    source = Source(name="q-instruct-labels", kind="labels", url=url)
    progress = Progress(lambda _: None, "fetch", "labels", "bytes")
    limits = Limits(networks=networks)
    return fetch(source, folder / "part", progress, QUICK, limits).read_bytes()


@pytest.fixture
def private() -> Hub:
    return Hub("me/private-set", {"labels.json": b"[1, 2]"}, token=TOKEN)


def test_a_file_of_the_hub_comes_with_the_token(
    private: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(private) as hub:
        assert get(hub, tmp_path, monkeypatch, TOKEN) == b"[1, 2]"
    path = "/datasets/me/private-set/resolve/v1/folder/labels.json"
    assert private.asked == [(path, f"Bearer {TOKEN}")]


def test_the_hub_is_asked_for_a_version_with_the_token(
    private: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source(name="q-instruct-labels", kind="labels", url=URL)
    with serve(private) as hub:
        get(hub, tmp_path, monkeypatch, TOKEN)
        _, stamp = served(source, tmp_path / "part", tmp_path / "part")
        assert stamp.is_of(ask_version(source, Limits()))
        hub.files["labels.json"] = b"[1, 3]"
        assert stamp.is_of(ask_version(source, Limits())) is False
    assert {token for _, token in private.asked} == {f"Bearer {TOKEN}"}


def test_a_missing_token_is_told(
    private: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(private) as hub, pytest.raises(UnavailableError) as caught:
        get(hub, tmp_path, monkeypatch, None)
    assert str(caught.value) == (
        f"{SHOWN}401 Unauthorized; correct data.sources.q-instruct-labels.url or set it to a "
        "mirror, or if it is private or gated, give a token of an account that may read it by "
        "data.tokenSecretRef (with `qinstruct run`: HF_TOKEN in the environment)"
    )


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_token_is_told_and_not_shown(
    status: int, private: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private.refuse, private.token = (status, "GatedRepo"), None
    with serve(private) as hub, pytest.raises(UnavailableError) as caught:
        get(hub, tmp_path, monkeypatch, "hf_an0ther")
    assert str(caught.value).startswith(f"{SHOWN}{status} ")
    assert str(caught.value).endswith(
        "or give a token of an account that may read it by data.tokenSecretRef (with `qinstruct "
        "run`: HF_TOKEN in the environment), not the present one"
    )
    assert "an0ther" not in str(caught.value)


def redirect(url: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", url)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_no_redirect_takes_the_token_to_another_server(
    host: str, private: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Hub("any/thing", {"labels.json": b"[3]"})
    with serve(store) as other, serve(private) as hub:
        hub.answer = redirect(other.url.replace("127.0.0.1", host) + "/x/labels.json")
        assert get(hub, tmp_path, monkeypatch, TOKEN) == b"[3]"
    assert store.asked == [("/x/labels.json", None)]


def test_a_hub_of_a_private_network_is_asked_only_if_that_is_named(
    private: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(private) as hub:
        with pytest.raises(ConfigError, match="QINSTRUCT_PRIVATE_NETWORKS"):
            get(hub, tmp_path, monkeypatch, TOKEN, ())
        assert private.asked == []
        assert get(hub, tmp_path, monkeypatch, TOKEN, ("127.0.0.0/8",)) == b"[1, 2]"


@pytest.mark.parametrize("sent", [TOKEN, f"{TOKEN}-wrong"])
def test_no_word_and_no_file_of_prep_has_the_token(sent: str, private: Hub, tmp_path: Path) -> None:
    labels = Source(name="q-instruct-labels", kind="labels", url=URL, mirrors=(URL,))
    config = write_prep_json(tmp_path, "run", [labels])
    with serve(private) as hub:
        done = subprocess.run(
            [sys.executable, "-m", "qinstruct_trainer", "prep", "--config", str(config)],
            env=os.environ
            | {"HF_ENDPOINT": hub.url, "HF_TOKEN": sent}
            | {"QINSTRUCT_TERMINATION_LOG": str(tmp_path / "last.json")},
            capture_output=True,
            text=True,
            check=False,
        )
    assert ("no record is usable" if sent == TOKEN else "401 Unauthorized") in done.stderr
    assert done.returncode == (65 if sent == TOKEN else EXIT_UNAVAILABLE)
    assert private.asked[0][1] == f"Bearer {sent}"
    assert "s3cret" not in done.stdout + done.stderr
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 2
    assert [p for p in files if "s3cret" in str(p) or b"s3cret" in p.read_bytes()] == []
    if sent == TOKEN:
        (manifest,) = (tmp_path / "cache" / "units").glob("fetch-*/manifest.json")
        assert json.loads(manifest.read_text())["key_parts"][0] == URL
