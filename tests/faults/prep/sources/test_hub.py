"""A hub, or what it redirects to, that would lead elsewhere or send without an end."""

import gzip
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from qinstruct_trainer.contract.errors import ConfigError, DataError, RunError, UnavailableError
from qinstruct_trainer.prep.sources import hub as hub_module
from qinstruct_trainer.prep.sources.hub import MAX_BYTES, Place, resolve
from qinstruct_trainer.prep.sources.limits import Limits
from support.prep.hub_server import Hub, serve

REPOSITORY = "lmsys/vicuna-7b-v1.5"
FILES = {"config.json": b"{}" * 500}
OURS = ("127.0.0.1/32",)
Answer = Callable[[BaseHTTPRequestHandler], None]


def begin(handler: BaseHTTPRequestHandler, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()


def redirect(url: str) -> Answer:
    return lambda handler: begin(handler, 302, Location=url)


def endless(handler: BaseHTTPRequestHandler) -> None:
    begin(handler)
    with suppress(OSError):
        while True:
            handler.wfile.write(bytes(2**16))


def endless_error(handler: BaseHTTPRequestHandler) -> None:
    begin(handler, 500)
    with suppress(OSError):
        while True:
            handler.wfile.write(bytes(2**16))


def trickle(handler: BaseHTTPRequestHandler) -> None:
    begin(handler, Content_Length="1000")
    with suppress(OSError):
        for _ in range(600):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)


def bomb(handler: BaseHTTPRequestHandler) -> None:
    content = gzip.compress(bytes(10**6))
    begin(handler, Content_Encoding="gzip", Content_Length=str(len(content)))
    handler.wfile.write(content)


def much_later(handler: BaseHTTPRequestHandler) -> None:
    begin(handler, 429, Retry_After="99999999", Content_Length="0")


def fetch(hub: Hub, folder: Path, **limits: float) -> Path:
    place = Place(folder, OURS, hub.url, Limits(**limits))  # type: ignore[arg-type]
    return resolve(REPOSITORY, None, place)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "_OVERHEAD", 2**20)


def test_a_hub_of_an_allowed_network_is_asked(tmp_path: Path) -> None:
    with serve(Hub(REPOSITORY, FILES)) as hub:
        assert (fetch(hub, tmp_path) / "config.json").read_bytes() == FILES["config.json"]


@pytest.mark.parametrize("networks", [(), ("10.0.0.0/8", "fd00::/8")])
def test_another_hub_is_not(networks: tuple[str, ...], tmp_path: Path) -> None:
    with (
        serve(Hub(REPOSITORY, FILES)) as hub,
        pytest.raises(ConfigError, match=r"127\.0\.0\.1.*QINSTRUCT_PRIVATE_NETWORKS"),
    ):
        resolve(REPOSITORY, None, Place(tmp_path, networks, hub.url))
    assert not hub.requested


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.2:1/weights",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]:1/weights",
        "http://10.96.0.1/api",
    ],
)
def test_no_redirect_leads_into_a_cluster(url: str, tmp_path: Path) -> None:
    with (
        serve(Hub(REPOSITORY, FILES, answer=redirect(url))) as hub,
        pytest.raises(ConfigError, match="which is no public address"),
    ):
        fetch(hub, tmp_path)


@pytest.mark.parametrize(
    "url",
    [
        "http://xn--/",
        "http://a..example/",
        f"http://{'a' * 300}.example/",
        "http://[::1",
        "data:,x",
    ],
)
def test_no_redirect_of_a_hub_ends_in_anything_but_a_sentence(url: str, tmp_path: Path) -> None:
    with (
        serve(Hub(REPOSITORY, FILES, answer=redirect(url))) as hub,
        pytest.raises(RunError) as refused,
    ):
        fetch(hub, tmp_path)
    assert "\n" not in str(refused.value)
    assert REPOSITORY in str(refused.value)


ENDLESS: list[tuple[Answer, str]] = [
    (endless, "more than it says"),
    (endless_error, "more than it says"),
    (trickle, "not whole after 2 s"),
    (bomb, "packed"),
]


@pytest.mark.parametrize(
    ("answer", "words"), ENDLESS, ids=lambda value: getattr(value, "__name__", "")
)
def test_what_has_no_end_is_ended(answer: Answer, words: str, tmp_path: Path) -> None:
    with (
        serve(Hub(REPOSITORY, FILES, answer=answer)) as hub,
        pytest.raises(UnavailableError, match=words),
    ):
        fetch(hub, tmp_path, total_seconds=2.0)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 2**22


def test_a_trickle_is_ended_by_its_rate(tmp_path: Path) -> None:
    with (
        serve(Hub(REPOSITORY, FILES, answer=trickle)) as hub,
        pytest.raises(UnavailableError, match="less than 1,000 a second"),
    ):
        fetch(hub, tmp_path, window_seconds=1.0)


def test_a_wait_of_years_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    with serve(Hub(REPOSITORY, FILES, answer=much_later)) as hub, pytest.raises(RunError):
        fetch(hub, tmp_path)
    assert waits
    assert max(waits) < 60


def test_a_repository_larger_than_a_model_is_refused_before_it_is_fetched(tmp_path: Path) -> None:
    sizes = {"config.json": MAX_BYTES + 1}
    with (
        serve(Hub(REPOSITORY, FILES, sizes=sizes)) as hub,
        pytest.raises(DataError, match="a model has at most"),
    ):
        fetch(hub, tmp_path)
    assert not hub.requested


@pytest.mark.parametrize("code", ["GatedRepo", "", "RepoNotFound"])
def test_no_word_of_the_hub_is_told(code: str, tmp_path: Path) -> None:
    def refuse(handler: BaseHTTPRequestHandler) -> None:
        headers = {"X_Error_Code": code, "X_Error_Message": "pay first", "Content_Length": "0"}
        begin(handler, 403, **headers)

    with serve(Hub(REPOSITORY, FILES, answer=refuse)) as hub, pytest.raises(RunError) as caught:
        fetch(hub, tmp_path)
    assert "pay" not in str(caught.value)
