"""The fault-injecting proxy in front of a small server; needs no cluster."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest
from aiohttp import web

from cluster.clients.fault_rules import Answer, Delay, Fault, Kill, Moment, Precede, Reset, Rule
from cluster.clients.proxy import FaultProxy, fault_proxy

THING = "/api/v1/things/one"
WATCH = "/api/v1/things?watch=true"


class Server:
    """Records its requests; its watches send a line on request."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str, bytes]] = []
        self.loop = asyncio.new_event_loop()
        self.lines: asyncio.Queue[bytes] = asyncio.Queue()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        authorization = request.headers.get("Authorization", "")
        self.asked.append((request.method, request.raw_path, authorization, await request.read()))
        if "watch" not in request.query:
            return web.json_response({"kind": "Thing"}, headers={"Audit-Id": "7"})
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while line := await self.lines.get():
            await response.write(line)
        return response

    def say(self, line: bytes) -> None:
        self.loop.call_soon_threadsafe(self.lines.put_nowait, line)


@contextmanager
def running(server: Server) -> Iterator[str]:
    loop = server.loop

    async def start() -> tuple[web.AppRunner, str]:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", server.answer)
        runner = web.AppRunner(application, shutdown_timeout=0, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"

    runner, url = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield url
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.run_until_complete(runner.cleanup())
    loop.close()


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def proxy(server: Server) -> Iterator[FaultProxy]:
    with running(server) as url, fault_proxy(url, None) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=proxy.url, timeout=10, trust_env=False) as client:
        yield client


def test_requests_and_answers_pass_through_unchanged(
    server: Server, proxy: FaultProxy, client: httpx.Client
) -> None:
    path = f"{THING}?fieldManager=us&force=true&x=%2Fa%20b"
    answer = client.patch(path, content=b'{"a":1}', headers={"Authorization": "Bearer t"})
    assert answer.json() == {"kind": "Thing"}
    assert answer.headers["Audit-Id"] == "7"
    assert server.asked == [("PATCH", path, "Bearer t", b'{"a":1}')]
    (seen,) = proxy.exchanges
    assert (seen.method, seen.path, seen.body, seen.status) == ("PATCH", path, b'{"a":1}', 200)
    assert seen.is_write
    assert seen.is_answered
    assert seen.fault is None


@pytest.mark.parametrize(
    ("status", "reason"),
    [(409, "Conflict"), (410, "Expired"), (429, "TooManyRequests"), (500, "InternalError")],
)
def test_an_injected_answer_looks_like_the_servers(
    server: Server, proxy: FaultProxy, client: httpx.Client, status: int, reason: str
) -> None:
    proxy.add(Rule(Answer(status, retry_after=3), method="PUT", path="/things/one"))
    answer = client.put(THING, content=b"{}")
    assert answer.status_code == status
    assert (answer.json()["reason"], answer.json()["code"]) == (reason, status)
    assert answer.headers["Retry-After"] == "3"
    assert server.asked == []
    assert client.put(THING, content=b"{}").status_code == 200


def test_a_rule_counts_only_what_it_matches_and_ends(
    proxy: FaultProxy, client: httpx.Client
) -> None:
    proxy.add(Rule(Answer(500), method="PATCH|PUT", path="/one$", nth=2, times=2))
    wanted = [
        *(("PATCH", THING, 200), ("GET", THING, 200), ("PATCH", "/other", 200)),
        *(("PUT", THING, 500), ("PATCH", THING, 500), ("PATCH", THING, 200)),
    ]
    got = [(method, path, client.request(method, path).status_code) for method, path, _ in wanted]
    assert got == wanted


@pytest.mark.parametrize(("when", "num_asked"), [("before", 0), ("after", 1)])
@pytest.mark.parametrize("kind", ["kill", "reset"])
def test_a_broken_connection_is_before_or_after_the_servers_work(
    server: Server, proxy: FaultProxy, client: httpx.Client, kind: str, when: Moment, num_asked: int
) -> None:
    killed: list[int] = []
    fault: Fault = Reset(when)
    if kind == "kill":
        fault = Kill(lambda: killed.append(len(server.asked)), when)
    proxy.add(Rule(fault))
    with pytest.raises(httpx.TransportError):
        client.post(THING, content=b"{}")
    assert len(server.asked) == num_asked
    assert killed == ([num_asked] if kind == "kill" else [])
    assert [(seen.status, seen.is_answered) for seen in proxy.writes] == [(None, num_asked == 1)]
    assert client.post(THING, content=b"{}").status_code == 200


def test_a_delay_holds_back_one_request_and_no_other(
    proxy: FaultProxy, client: httpx.Client
) -> None:
    proxy.add(Rule(Delay(1), path="/slow"))
    begin = time.monotonic()

    def ask(path: str) -> float:
        httpx.get(proxy.url + path, trust_env=False)
        return time.monotonic() - begin

    with ThreadPoolExecutor(2) as pool:
        slow, quick = pool.map(ask, ["/slow", "/quick"])
    assert slow >= 1
    assert quick < slow


def test_something_else_is_done_before_a_request_is_passed_on(
    server: Server, proxy: FaultProxy, client: httpx.Client
) -> None:
    asked_before: list[int] = []
    proxy.add(Rule(Precede(lambda: asked_before.append(len(server.asked)))))
    assert client.put(THING, content=b"{}").status_code == 200
    assert asked_before == [0]
    assert len(server.asked) == 1


def test_a_watch_is_passed_on_line_by_line(
    server: Server, proxy: FaultProxy, client: httpx.Client
) -> None:
    server.say(b'{"n":1}\n')
    with client.stream("GET", WATCH) as answer:
        lines = answer.iter_lines()
        assert next(lines) == '{"n":1}'
        server.say(b'{"n":2}\n')
        assert next(lines) == '{"n":2}'
        server.say(b"")
        assert list(lines) == []
    (seen,) = proxy.exchanges
    assert (seen.is_watch, seen.is_write, seen.status) == (True, False, 200)


def test_cut_watches_end_in_an_error(
    server: Server, proxy: FaultProxy, client: httpx.Client
) -> None:
    server.say(b'{"n":1}\n')
    with client.stream("GET", WATCH) as answer:
        lines = answer.iter_lines()
        next(lines)
        assert proxy.cut_watches() == 1
        with pytest.raises(httpx.TransportError):
            next(lines)
    assert proxy.cut_watches() == 0


def test_silenced_watches_stay_open_and_new_ones_work(
    server: Server, proxy: FaultProxy, client: httpx.Client
) -> None:
    server.say(b'{"n":1}\n')
    with client.stream("GET", WATCH, timeout=2) as answer:
        lines = answer.iter_lines()
        next(lines)
        assert proxy.silence_watches() == 1
        server.say(b'{"n":2}\n')
        with pytest.raises(httpx.ReadTimeout):
            next(lines)
    with client.stream("GET", WATCH) as answer:
        server.say(b'{"n":3}\n')
        assert next(answer.iter_lines()) == '{"n":3}'


def test_expired_watches_end_with_the_servers_error(
    server: Server, proxy: FaultProxy, client: httpx.Client
) -> None:
    server.say(b'{"n":1}\n')
    with client.stream("GET", WATCH) as answer:
        lines = answer.iter_lines()
        next(lines)
        assert proxy.expire_watches() == 1
        event = json.loads(next(lines))
        assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
        assert list(lines) == []


def test_watches_end_with_whatever_is_to_be_said(
    server: Server, proxy: FaultProxy, client: httpx.Client
) -> None:
    server.say(b'{"n":1}\n')
    with client.stream("GET", WATCH) as answer:
        lines = answer.iter_lines()
        next(lines)
        assert proxy.end_watches(b"never", "/other") == 0
        assert proxy.end_watches(b'{"n":', "/things") == 1
        assert list(lines) == ['{"n":']


def test_an_answer_can_be_anything_until_the_rules_are_cleared(
    proxy: FaultProxy, client: httpx.Client
) -> None:
    proxy.add(Rule(Answer(200, body=b"<html>"), path=THING, times=100))
    assert client.get(THING).text == "<html>"
    proxy.clear()
    assert client.get(THING).json() == {"kind": "Thing"}
    assert proxy.unmet == ()


def test_a_server_that_is_away_looks_like_a_broken_connection() -> None:
    server = Server()
    with running(server) as url:
        pass
    with fault_proxy(url, None) as proxy, pytest.raises(httpx.TransportError):
        httpx.get(proxy.url, trust_env=False)
