"""One request over HTTP: what an API server, or something on the way to it, can answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from qinstruct_operator.cluster.errors import ClusterError
from qinstruct_operator.cluster.transport import Transport
from support.scripted_server import Answer, ScriptedServer, refuses, says, serve, text

TRIED = "apply ConfigMap team/notes"
PATH = "/api/v1/namespaces/team/configmaps/notes"


@asynccontextmanager
async def connected(
    *answers: Answer, timeout: float = 30.0
) -> AsyncIterator[tuple[Transport, ScriptedServer]]:
    async with serve(*answers) as server:
        client = ApiClient(Configuration(host=server.url))
        try:
            yield Transport(client, timeout), server
        finally:
            await client.rest_client.close()


def error_of(*answers: Answer, timeout: float = 30.0) -> ClusterError:
    """What `send` raises at such an answer."""

    async def trial() -> ClusterError:
        async with connected(*answers, timeout=timeout) as (transport, _):
            with pytest.raises(ClusterError) as caught:
                await transport.send(TRIED, "GET", PATH)
        return caught.value

    return asyncio.run(trial())


def test_a_request_is_sent_as_it_is_asked_for() -> None:
    async def trial() -> dict[str, Any]:
        async with connected(says({"kind": "ConfigMap"})) as (transport, server):
            answer = await transport.send(
                TRIED, "PUT", PATH, query=(("force", "true"),), body={"data": {"a": "b"}}
            )
        (request,) = server.requests
        assert (request.method, request.path) == ("PUT", PATH)
        assert request.query == {"force": "true"}
        assert request.headers["accept"] == request.headers["content-type"] == "application/json"
        assert request.body == b'{"data": {"a": "b"}}'
        return dict(answer)

    assert asyncio.run(trial()) == {"kind": "ConfigMap"}


def test_a_refusal_keeps_its_status_and_the_servers_headers() -> None:
    error = error_of(refuses(429, "wait", Retry_After="7"))
    assert (str(error), error.status, error.retry_after) == (f"{TRIED}: wait", 429, 7)


@pytest.mark.parametrize("body", [b"<html>login</html>", b"[]", b"", b"\xff"])
def test_another_kind_of_server_is_noticed(body: bytes) -> None:
    caught = error_of(text(body))
    assert "is it an API server?" in str(caught)
    assert caught.status is None


def test_a_server_that_does_not_answer_is_left_in_time() -> None:
    async def never(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        raise AssertionError

    async def half(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"{")
        return await never(request)

    for slow in (never, half):
        caught = error_of(slow, timeout=0.2)
        assert "no answer within 0.2 s" in str(caught)
        assert caught.status is None


def test_an_answer_that_is_left_half_read_costs_no_later_one() -> None:
    async def trial() -> object:
        async with connected(text(b"x" * 1_000_000), says({"kind": "Pod"})) as (transport, _):
            async with transport.open(TRIED, "GET", PATH, query=(), read_timeout=30.0) as answer:
                assert await answer.content.read(1) == b"x"
            return await transport.send(TRIED, "GET", PATH)

    assert asyncio.run(trial()) == {"kind": "Pod"}


def test_only_the_servers_own_answers_say_what_time_it_is() -> None:
    async def trial() -> list[timedelta]:
        ahead = []
        answers = (
            says({}, Date="Sun, 01 Mar 2099 13:00:00 GMT"),
            refuses(503, "a gateway", Date="Sun, 01 Mar 2009 13:00:00 GMT"),
        )
        async with connected(*answers) as (transport, _):
            for refused in (False, True):
                with pytest.raises(ClusterError) if refused else nullcontext():
                    await transport.send(TRIED, "GET", PATH)
                ahead.append(transport.clock.now() - datetime(2099, 3, 1, 13, tzinfo=UTC))
        return ahead

    for off in asyncio.run(trial()):
        assert abs(off) < timedelta(minutes=1)
