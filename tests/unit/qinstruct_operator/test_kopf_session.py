"""kopf's requests over our client: what it is told, what it is spared, and what wakes it again."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from qinstruct_operator.cluster.connect import connect
from qinstruct_operator.hearing import Hearing
from qinstruct_operator.kinds import JOB, POD, TRAINING
from qinstruct_operator.kopf_session import (
    KopfSession,
    UnusableReplyError,
    check_event,
    check_list,
    discovery,
)
from support.scripted_server import Answer, ScriptedServer, refuses, says, serve, text

META = {"name": "a", "namespace": "team", "uid": "u", "resourceVersion": "7"}
ADDED = {"type": "ADDED", "object": {"metadata": META, "spec": {}}}
GONE = {"type": "ERROR", "object": {"kind": "Status", "code": 410}}
RUNS = "/apis/qinstruct.dev/v1alpha1/qinstructtrainings"
KINDS = (TRAINING, JOB, POD)


class StillClock:
    """Time that passes only when it is told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def session_with(
    folder: Path, *answers: Answer
) -> AsyncIterator[tuple[KopfSession, ScriptedServer, Hearing, StillClock]]:
    clock = StillClock()
    hearing = Hearing(clock)
    async with serve(*answers) as server:
        content = {
            "clusters": [{"name": "one", "cluster": {"server": server.url}}],
            "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
            "users": [{"name": "one", "user": {"token": "secret"}}],
            "current-context": "one",
        }
        (folder / "config").write_text(json.dumps(content), "utf-8")
        async with connect(kubeconfig=str(folder / "config"), env={}) as cluster:
            yield KopfSession(cluster.transport, hearing, KINDS), server, hearing, clock


def lines(*events: Any, end: bytes = b"") -> Answer:
    """A watch that says these events, in pieces, and ends."""

    async def answer(request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse()
        await stream.prepare(request)
        raw = b"".join(json.dumps(event).encode() + b"\n" for event in events) + end
        for begin in range(0, 400, 40):
            await stream.write(raw[begin : begin + 40])
        with suppress(ConnectionError):  # the client need not read to the end
            await stream.write(raw[400:])
        return stream

    return answer


Use = Callable[[KopfSession, ScriptedServer, Hearing, StillClock], Awaitable[None]]


def run(folder: Path, use: Use, *answers: Answer) -> None:
    async def trial() -> None:
        async with session_with(folder, *answers) as parts:
            await use(*parts)

    asyncio.run(trial())


async def watched(session: KopfSession, server: ScriptedServer, seconds: float = 5) -> list[Any]:
    """The events of one watch as kopf reads them."""
    url = f"{server.url}{RUNS}?watch=true&resourceVersion=5&labelSelector=a%3Db"
    timeout = aiohttp.ClientTimeout(total=seconds)
    reply = await session.request(method="get", url=url, json=None, headers=None, timeout=timeout)
    async with reply:
        return [json.loads(line) async for line in reply.content.iter_chunked(1)]


def test_discovery_is_answered_without_the_server(tmp_path: Path) -> None:
    async def use(session: KopfSession, server: ScriptedServer, *_: Any) -> None:
        found = [await (await session.request(url=server.url + path)).json() for path in paths]
        assert found == [documents[path] for path in paths]
        assert server.requests == []

    documents = discovery((*KINDS,))
    paths = ["/apis", "/apis/batch/v1", "/apis/qinstruct.dev/v1alpha1"]
    run(tmp_path, use, refuses(404, "nothing here"))


def test_nothing_is_written(tmp_path: Path) -> None:
    async def use(session: KopfSession, server: ScriptedServer, *_: Any) -> None:
        with pytest.raises(ValueError, match="this session only reads"):
            await session.request(method="patch", url=server.url + RUNS)
        assert server.requests == []

    run(tmp_path, use, says({}))


def test_discovery_names_each_kind_in_its_group() -> None:
    documents = discovery(KINDS)
    assert set(documents) == {
        "/api",
        "/api/v1",
        "/apis",
        "/apis/batch/v1",
        "/apis/qinstruct.dev/v1alpha1",
    }
    assert documents["/api"] == {"versions": ["v1"]}
    assert [group["name"] for group in documents["/apis"]["groups"]] == ["qinstruct.dev", "batch"]
    (pods,) = documents["/api/v1"]["resources"]
    assert (pods["name"], pods["kind"], pods["namespaced"]) == ("pods", "Pod", True)
    assert {"list", "watch"} <= set(pods["verbs"])


def test_a_list_is_passed_on_with_our_credentials(tmp_path: Path) -> None:
    page = {"kind": "List", "metadata": {"resourceVersion": "9"}, "items": [ADDED["object"]]}

    async def use(
        session: KopfSession, server: ScriptedServer, hearing: Hearing, clock: StillClock
    ) -> None:
        clock.now = 50
        url = f"{server.url}/apis/qinstruct.dev/v1alpha1/namespaces/team/qinstructtrainings?limit=5"
        assert await (await session.request(url=url)).json() == page
        (asked,) = server.requests
        assert (asked.query, asked.headers["authorization"]) == ({"limit": "5"}, "Bearer secret")
        assert session.namespaces == {"team"}
        assert hearing.silent_seconds == 0

    run(tmp_path, use, says(page))


@pytest.mark.parametrize(
    "answer",
    [
        refuses(404, "the server could not find the requested resource"),
        refuses(401, "Unauthorized"),
        refuses(500, "etcd is away"),
        text(b"<html>"),
        says([]),
        says({"kind": "Status", "metadata": {}}),
        says({"metadata": {}, "items": [{"metadata": {}}]}),
    ],
)
def test_a_list_that_fails_lets_kopf_begin_again(tmp_path: Path, answer: Answer) -> None:
    async def use(
        session: KopfSession, server: ScriptedServer, hearing: Hearing, clock: StillClock
    ) -> None:
        clock.now = 50
        with pytest.raises(aiohttp.ClientPayloadError):
            await session.request(url=server.url + RUNS)
        assert hearing.silent_seconds == 50

    run(tmp_path, use, answer)


def test_the_events_of_a_watch_are_passed_on(tmp_path: Path) -> None:
    bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "8"}}}

    async def use(
        session: KopfSession, server: ScriptedServer, hearing: Hearing, clock: StillClock
    ) -> None:
        clock.now = 50
        assert await watched(session, server) == [ADDED, bookmark]
        (asked,) = server.requests
        assert asked.query == {"watch": "true", "resourceVersion": "5", "labelSelector": "a=b"}
        assert session.namespaces == {None}
        assert hearing.silent_seconds == 0

    run(tmp_path, use, lines(ADDED, bookmark))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lines(ADDED, end=b"garbage\n"), [ADDED, GONE]),
        (lines(ADDED, end=b'{"type": "MODI'), [ADDED, GONE]),
        (lines(ADDED, end=b"x" * (17 * 2**20)), [ADDED, GONE]),
        (lines(GONE), [GONE]),
        (lines({"type": "ERROR", "object": {"code": 500, "message": "no"}}), [GONE]),
        (text(b"<html>"), [GONE]),
        (refuses(404, "gone"), [GONE]),
        (refuses(410, "too old"), [GONE]),
        (lines(), []),
    ],
)
def test_a_watch_that_fails_ends_for_kopf_like_any_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, answer: Answer, said: list[Any]
) -> None:
    async def use(session: KopfSession, server: ScriptedServer, *_: Any) -> None:
        assert await watched(session, server) == said

    run(tmp_path, use, answer)
    (record,) = caplog.records
    assert record.getMessage().startswith("watch qinstructtrainings of all namespaces: ")


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_watch_that_is_refused_for_now_goes_on_from_where_it_was(
    tmp_path: Path, status: int
) -> None:
    async def use(session: KopfSession, server: ScriptedServer, *_: Any) -> None:
        with pytest.raises(aiohttp.ClientPayloadError):
            await watched(session, server)

    run(tmp_path, use, refuses(status, "later"))


def test_a_silent_watch_ends_and_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def silent(request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse()
        await stream.prepare(request)
        await asyncio.sleep(60)
        return stream

    async def use(
        session: KopfSession, server: ScriptedServer, hearing: Hearing, clock: StillClock
    ) -> None:
        clock.now = 50
        assert await watched(session, server, seconds=0.5) == []
        assert hearing.silent_seconds == 50

    run(tmp_path, use, silent)
    assert "it says nothing any more" in caplog.text


@pytest.mark.parametrize(
    "line",
    [
        b"\xff",
        b"{",
        b"[" * 100_000,
        b"[]",
        b"null",
        b'{"type": "ADDED"}',
        b'{"type": 1, "object": {}}',
        b'{"type": ["ADDED"], "object": {}}',
        b'{"type": "ADDED", "object": []}',
        b'{"type": "ADDED", "object": {"metadata": {"name": "a"}}}',
        b'{"type": "BOOKMARK", "object": {"metadata": {}}}',
        b'{"type": "ERROR", "object": {"code": 410}}',
        b'{"type": "ERROR"}',
        json.dumps(ADDED | {"object": {"metadata": META | {"labels": []}}}).encode(),
        json.dumps(ADDED | {"object": {"metadata": META, "status": "no"}}).encode(),
    ],
)
def test_what_is_no_event(line: bytes) -> None:
    with pytest.raises(UnusableReplyError):
        check_event(line)


@pytest.mark.parametrize(
    "event",
    [
        ADDED,
        ADDED | {"type": "DELETED"},
        ADDED | {"object": {"metadata": META | {"labels": None}}},
        {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "8"}}},
    ],
)
def test_what_is_an_event(event: dict[str, Any]) -> None:
    check_event(json.dumps(event).encode())


@pytest.mark.parametrize(
    "found",
    [{}, {"items": []}, {"metadata": {}, "items": None}, {"metadata": {}, "items": ["a"]}],
)
def test_what_is_no_list(found: dict[str, Any]) -> None:
    with pytest.raises(UnusableReplyError):
        check_list(found)
