"""The port over HTTP: its requests to an API server, and what it makes of the answers."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from qinstruct_operator.cluster.errors import ClusterError
from qinstruct_operator.cluster.kube import KubeCluster
from qinstruct_operator.kinds import CONFIG_MAP, TRAINING
from support.scripted_server import Answer, ScriptedServer, refuses, says, serve, text

CONFIG = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "notes", "namespace": "team"},
}


@asynccontextmanager
async def connected(
    *answers: Answer, timeout: float = 30.0
) -> AsyncIterator[tuple[KubeCluster, ScriptedServer]]:
    async with serve(*answers) as server:
        client = ApiClient(Configuration(host=server.url))
        try:
            yield KubeCluster(client, timeout=timeout), server
        finally:
            await client.rest_client.close()


def error_of(*answers: Answer, timeout: float = 30.0) -> ClusterError:
    """What `apply` raises at such an answer."""

    async def trial() -> ClusterError:
        async with connected(*answers, timeout=timeout) as (cluster, _):
            with pytest.raises(ClusterError) as caught:
                await cluster.apply(CONFIG)
        return caught.value

    return asyncio.run(trial())


def lines_of(answer: Answer, read: Callable[[KubeCluster], Awaitable[object]]) -> object:
    async def trial() -> object:
        async with connected(answer) as (cluster, _):
            return await read(cluster)

    return asyncio.run(trial())


def page(names: list[str], token: str = "") -> Answer:
    items = [{"metadata": {"name": name}} for name in names]
    return says({"kind": "ConfigMapList", "metadata": {"continue": token}, "items": items})


def listed(*answers: Answer) -> tuple[list[str], list[str | None]]:
    async def trial() -> tuple[list[str], list[str | None]]:
        async with connected(*answers) as (cluster, server):
            found = await cluster.list(CONFIG_MAP, "team")
            tokens = [request.query.get("continue") for request in server.requests]
        return [one["metadata"]["name"] for one in found], tokens

    return asyncio.run(trial())


def test_apply_is_one_request_that_says_whose_it_is() -> None:
    async def trial() -> None:
        async with connected(says(CONFIG)) as (cluster, server):
            await cluster.apply(CONFIG)
        (request,) = server.requests
        assert (request.method, request.path) == (
            "PATCH",
            "/api/v1/namespaces/team/configmaps/notes",
        )
        assert request.query == {"fieldManager": "qinstruct-operator", "force": "true"}
        assert request.headers["content-type"] == "application/apply-patch+yaml"

    asyncio.run(trial())


def test_a_group_has_its_own_path() -> None:
    async def trial() -> None:
        async with connected(page([])) as (cluster, server):
            await cluster.list(TRAINING, None, labels={"a/b": "c", "d": "e"})
        (request,) = server.requests
        assert request.path == "/apis/qinstruct.dev/v1alpha1/qinstructtrainings"
        assert request.query == {"limit": "500", "labelSelector": "a/b=c,d=e"}

    asyncio.run(trial())


def test_a_list_is_all_its_pages() -> None:
    assert listed(page(["a", "b"], "one"), page(["c"], "two"), page(["d"])) == (
        ["a", "b", "c", "d"],
        [None, "one", "two"],
    )


def test_a_list_whose_token_expires_starts_over_once() -> None:
    expired = refuses(410, "The provided continue parameter is too old")
    names, tokens = listed(page(["a"], "one"), expired, page(["b"], "two"), page(["c"]))
    assert (names, tokens) == (["b", "c"], [None, "one", None, "two"])
    with pytest.raises(ClusterError) as caught:
        listed(page(["a"], "one"), expired, page(["b"], "two"), expired)
    assert caught.value.status == 410


def test_a_log_whose_answer_does_not_begin_is_left_in_time() -> None:
    async def never(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        raise AssertionError

    async def trial() -> None:
        async with connected(never, timeout=0.2) as (cluster, _):
            with pytest.raises(ClusterError, match=r"no answer within 0\.2 s"):
                await anext(cluster.follow_log("a", "b", "c"))

    asyncio.run(asyncio.wait_for(trial(), 10))


def test_a_connection_that_breaks_is_said() -> None:
    caught = error_of(broken_after(b'{"kind": '))
    assert "the connection was lost in the middle of the answer" in str(caught)
    assert "no answer from http://127.0.0.1" in str(error_of(broken_after(None)))


def broken_after(some: bytes | None, pause: float = 0.0) -> Answer:
    """An answer that begins, if it does, and never ends."""

    async def answer(request: web.Request) -> web.StreamResponse:
        begun = web.StreamResponse()
        if some is not None:
            await begun.prepare(request)
            await begun.write(some)
        await asyncio.sleep(pause)
        assert request.transport is not None
        request.transport.abort()
        return begun

    return answer


def test_the_end_of_a_long_log_is_kept() -> None:
    lines = [f"{number} {'x' * 1000}" for number in range(1000)]
    body = "\n".join([*lines, "the reason", ""]).encode()
    kept = lines_of(text(body), lambda cluster: cluster.read_log("a", "b", "c", tail_lines=2000))
    assert isinstance(kept, tuple)
    assert kept[-1] == "the reason"
    assert kept == (*lines[-len(kept) + 1 :], "the reason")
    assert 250 * 1024 < sum(len(line) + 1 for line in kept) <= 256 * 1024


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (b"", ()),
        (b"\n", ("",)),
        (b"a", ("a",)),
        (b"a\n\nb\r\n", ("a", "", "b")),
        (b"10%\r20%\r30%\n", ("10%\r20%\r30%",)),
        ("a\x85b\u2028c\x0bd\n".encode(), ("a\x85b\u2028c\x0bd",)),
        (b"a\xff\xc3b\n", ("a\ufffd\ufffdb",)),
        (b"x" * 300_000, ("x" * 256 * 1024,)),
    ],
)
def test_only_a_line_feed_ends_a_line(body: bytes, lines: tuple[str, ...]) -> None:
    read = lines_of(text(body), lambda cluster: cluster.read_log("a", "b", "c", tail_lines=9))
    assert read == lines


async def follow(cluster: KubeCluster) -> list[str]:
    return [line async for line in cluster.follow_log("a", "b", "c")]


def in_parts(*parts: bytes) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse()
        await stream.prepare(request)
        for part in parts:
            await stream.write(part)
            await asyncio.sleep(0.1)
        return stream

    return answer


def test_a_followed_log_comes_line_by_line_and_ends() -> None:
    parts = (b"one\ntw", b"o\n\xe2\x82", b"\xac\r\n", b"\n", b"last")
    assert lines_of(in_parts(*parts), follow) == ["one", "two", "\u20ac", "", "last"]


def test_a_followed_log_may_be_silent_for_longer_than_a_request() -> None:
    async def trial() -> list[str]:
        parts = in_parts(b"one\n", b"", b"", b"", b"two\n")
        async with connected(parts, timeout=0.2) as (cluster, _):
            return await follow(cluster)

    assert asyncio.run(trial()) == ["one", "two"]


def test_a_line_without_end_takes_no_endless_memory() -> None:
    pieces = lines_of(in_parts(*[b"x" * 100_000] * 3, b"\nend\n"), follow)
    assert isinstance(pieces, list)
    assert "".join(pieces) == "x" * 300_000 + "end"
    assert len(pieces) > 3


def test_a_followed_log_that_breaks_is_an_error() -> None:
    async def trial() -> None:
        async with connected(broken_after(b"one\n", pause=0.2)) as (cluster, _):
            followed = cluster.follow_log("a", "b", "c")
            assert await anext(followed) == "one"
            with pytest.raises(ClusterError, match="the connection was lost"):
                await anext(followed)

    asyncio.run(trial())


def test_a_follower_may_leave() -> None:
    async def trial() -> None:
        async with connected(in_parts(*[b"tick\n"] * 100)) as (cluster, server):
            followed = cluster.follow_log("a", "b", "c")
            assert await anext(followed) == "tick"
            await followed.aclose()
            server.answers = [page(["a"])]
            assert await cluster.list(CONFIG_MAP, None)

    asyncio.run(trial())


def test_an_object_without_a_namespace_is_our_mistake() -> None:
    async def trial() -> None:
        async with connected(says({})) as (cluster, server):
            with pytest.raises(ValueError, match="needs a namespace"):
                await cluster.get(CONFIG_MAP, None, "notes")
        assert server.requests == []

    asyncio.run(trial())


def test_the_typed_models_are_not_loaded() -> None:
    script = (
        "import sys, qinstruct_operator.cluster.connect;"
        "print(*(m for m in sys.modules if m.startswith('kubernetes.aio.client.models.')))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []
