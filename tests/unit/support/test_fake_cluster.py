"""The in-memory API server's own tools: faults, the record of requests, logs, other actors."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from qinstruct_operator.cluster.errors import ClusterError, Refused, UnknownKind
from qinstruct_operator.cluster.port import Resource
from qinstruct_operator.kinds import CONFIG_MAP, JOB, POD, TRAINING
from support.fake_cluster.cluster import Call, FakeCluster


def manifest(kind: str = "ConfigMap", name: str = "notes") -> Resource:
    version = {"ConfigMap": "v1", "Pod": "v1", "Job": "batch/v1"}[kind]
    containers = [{"name": "main", "image": "example/main:1"}]
    spec = {"Pod": {"containers": containers}, "Job": {"suspend": True}}
    body = {"data": {"k": "v"}} if kind == "ConfigMap" else {"spec": spec[kind]}
    meta = {"name": name, "namespace": "team"}
    return {"apiVersion": version, "kind": kind, "metadata": meta, **body}


def tried(trial: Callable[[FakeCluster], Awaitable[None]]) -> None:
    async def run() -> None:
        await trial(FakeCluster())

    asyncio.run(run())


def test_time_and_identity_are_counted() -> None:
    async def trial(cluster: FakeCluster) -> None:
        first = await cluster.apply(manifest())
        cluster.set_now("2026-02-02T00:00:00Z")
        second = await cluster.apply(manifest(name="more"))
        metas = [one["metadata"] for one in (first, second)]
        assert [meta["uid"][-2:] for meta in metas] == ["01", "02"]
        assert [meta["resourceVersion"] for meta in metas] == ["1", "2"]
        assert [meta["creationTimestamp"][5:7] for meta in metas] == ["01", "02"]

    tried(trial)


def test_returned_objects_are_copies() -> None:
    async def trial(cluster: FakeCluster) -> None:
        mine = manifest()
        made = await cluster.apply(mine)
        mine["data"]["k"] = made["data"]["k"] = "changed"
        found = await cluster.get(CONFIG_MAP, "team", "notes")
        assert found is not None
        assert found["data"] == {"k": "v"}

    tried(trial)


def test_requests_are_recorded() -> None:
    async def trial(cluster: FakeCluster) -> None:
        await cluster.apply(manifest())
        await cluster.as_manager("other").list(JOB, None)
        assert cluster.calls == (
            Call("apply", CONFIG_MAP, "team", "notes"),
            Call("list", JOB, None, None),
        )

    tried(trial)


def test_requests_that_match_a_fault_fail() -> None:
    async def trial(cluster: FakeCluster) -> None:
        cluster.fail(ClusterError("down"), "get", kind=CONFIG_MAP, after=1, times=2)
        wrong = []
        for _ in range(5):
            assert await cluster.get(JOB, "team", "notes") is None
            try:
                await cluster.get(CONFIG_MAP, "team", "notes")
            except ClusterError as error:
                wrong.append(str(error))
            else:
                wrong.append("")
        assert wrong == ["", "down", "down", "", ""]

    tried(trial)


@pytest.mark.parametrize("lost", [False, True])
def test_a_request_with_a_lost_answer_took_effect(lost: bool) -> None:
    async def trial(cluster: FakeCluster) -> None:
        cluster.fail(ClusterError("down"), lost=lost)
        with pytest.raises(ClusterError, match="down"):
            await cluster.apply(manifest())
        found = await cluster.get(CONFIG_MAP, "team", "notes")
        assert (found is not None) == lost

    tried(trial)


def test_a_kind_may_be_missing() -> None:
    async def trial() -> None:
        cluster = FakeCluster(kinds=[CONFIG_MAP])
        with pytest.raises(ClusterError, match="Job is not installed"):
            await cluster.apply(manifest("Job"))
        with pytest.raises(UnknownKind):
            await cluster.get(TRAINING, "team", "run")

    asyncio.run(trial())


def test_other_actors_change_objects() -> None:
    async def trial(cluster: FakeCluster) -> None:
        made = await cluster.apply(manifest("Job"))
        written = cluster.set_status(JOB, "team", "notes", {"succeeded": 1})
        assert written["status"] == {"succeeded": 1}
        assert written["metadata"]["generation"] == 1
        assert written["metadata"]["resourceVersion"] > made["metadata"]["resourceVersion"]
        edited = cluster.edit(JOB, "team", "notes", lambda job: job["spec"].update(suspend=False))
        assert edited["metadata"]["generation"] == 2
        again = await cluster.apply(manifest("Job"))
        assert again["spec"] == {"suspend": True}, "apply takes it back"
        assert again["status"] == {"succeeded": 1}

    tried(trial)


def test_a_log_is_read_and_followed_to_its_end() -> None:
    async def trial(cluster: FakeCluster) -> None:
        await cluster.apply(manifest("Pod"))
        place = ("team", "notes", "main")
        with pytest.raises(Refused):
            await anext(cluster.follow_log(*place))
        assert await cluster.read_log(*place, tail_lines=9) == ()
        cluster.write_log(*place, "one", "two")
        assert await cluster.read_log(*place, tail_lines=1) == ("two",)

        async def follow() -> list[str]:
            return [line async for line in cluster.follow_log(*place)]

        following = asyncio.create_task(follow())
        for _ in range(3):
            await asyncio.sleep(0)
        assert not following.done()
        cluster.write_log(*place, "three")
        cluster.end_log(*place)
        assert await following == ["one", "two", "three"]

    tried(trial)


def test_a_followed_log_can_be_lost() -> None:
    async def trial(cluster: FakeCluster) -> None:
        await cluster.apply(manifest("Pod"))
        cluster.write_log("team", "notes", "main", "one")
        cluster.end_log("team", "notes", "main", lost=ClusterError("gone"))
        followed = cluster.follow_log("team", "notes", "main")
        assert await anext(followed) == "one"
        with pytest.raises(ClusterError, match="gone"):
            await anext(followed)
        cluster.delete(POD, "team", "notes")
        assert await cluster.read_log("team", "notes", "main", tail_lines=1) == ()

    tried(trial)
