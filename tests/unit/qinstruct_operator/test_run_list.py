"""Which runs a periodic list hands to the queue."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from qinstruct_operator.cluster.transport import Transport
from qinstruct_operator.hearing import Hearing
from qinstruct_operator.run_list import Key, RunList
from support.scripted_server import Answer, ScriptedServer, refuses, says, serve


def meta(name: str, generation: int = 1, uid: str = "u", namespace: str = "team") -> dict[str, Any]:
    return {"name": name, "namespace": namespace, "uid": uid, "generation": generation}


def page(*metas: dict[str, Any], more: str = "") -> Answer:
    metadata = {"continue": more} if more else {}
    return says({"metadata": metadata, "items": [{"metadata": one} for one in metas]})


Use = Callable[[RunList, list[Key], ScriptedServer, Hearing], Awaitable[None]]


def run(use: Use, *answers: Answer) -> None:
    async def trial() -> None:
        async with serve(*answers) as server:
            client = ApiClient(Configuration(host=server.url))
            added: list[Key] = []
            hearing = Hearing(lambda: 0.0)
            runs = RunList(Transport(client, 10), hearing, lambda: {None}, added.append)
            try:
                await use(runs, added, server, hearing)
            finally:
                await client.rest_client.close()

    asyncio.run(trial())


def test_a_run_gets_a_pass_when_it_or_its_generation_is_not_known() -> None:
    async def use(runs: RunList, added: list[Key], *_: Any) -> None:
        for known in (meta("same"), meta("edited"), meta("again", uid="old"), meta("gone")):
            runs.tell(known)
        await runs.look(None)
        assert added == [("team", "edited"), ("team", "again"), ("team", "new")]
        await runs.look(None)
        assert len(added) == 3
        await runs.look(None)
        assert added[3:] == [("team", "gone")]

    listed = page(meta("same"), meta("edited", 2), meta("again"), meta("new"))
    run(use, listed, listed, page(meta("gone")))


def test_all_pages_are_read_and_only_metadata_is_asked_for() -> None:
    async def use(runs: RunList, added: list[Key], server: ScriptedServer, _: Hearing) -> None:
        await runs.look("team")
        assert added == [("team", "a"), ("team", "b")]
        first, second = server.requests
        assert "PartialObjectMetadataList" in first.headers["accept"]
        assert first.path.endswith("/namespaces/team/qinstructtrainings")
        assert (first.query, second.query["continue"]) == ({"limit": "500"}, "abc")

    run(use, page(meta("a"), more="abc"), page(meta("b")))


def test_a_list_of_one_namespace_forgets_no_run_of_another() -> None:
    async def use(runs: RunList, added: list[Key], *_: Any) -> None:
        runs.tell(meta("a", namespace="other"))
        await runs.look("team")
        await runs.look("other")
        assert added == []

    run(use, page(), page(meta("a", namespace="other")))


@pytest.mark.parametrize(
    "answer", [refuses(500, "no"), says({}), says({"metadata": {}, "items": [{}]}), says([])]
)
def test_a_list_that_fails_is_told_once_and_changes_nothing(
    answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    async def use(runs: RunList, added: list[Key], *_: Any) -> None:
        runs.tell(meta("a"))
        await runs.look(None)
        await runs.look(None)
        await runs.look(None)
        assert added == []

    run(use, answer, answer, page(meta("a")))
    assert len(caplog.records) == 1


def test_it_lists_at_an_interval() -> None:
    async def use(runs: RunList, added: list[Key], *_: Any) -> None:
        task = asyncio.create_task(runs.run(0.01))
        while len(added) < 2:
            await asyncio.sleep(0.01)
        task.cancel()

    run(use, page(meta("a")), page(meta("a", 2)))
