"""What is read of a run at each of its stages: enough, and not more."""

import asyncio
from datetime import datetime, timedelta

import pytest

from qinstruct_operator.cluster.errors import Forbidden, UnknownKind
from qinstruct_operator.core.judge.observe import Snapshot
from qinstruct_operator.core.run import Run
from qinstruct_operator.core.untyped_json import text
from qinstruct_operator.gather import Reads, gather
from qinstruct_operator.kinds import CLAIM, CONFIG_MAP, EVENT, JOB, NODE, POD, TRAINING, Kind
from qinstruct_operator.reconcile import Told
from qinstruct_operator.settings import Settings
from support.kinds import PYTORCHJOB
from support.observed import (
    NAMESPACE,
    NOW,
    OTHER_UID,
    claim,
    condition_reasons,
    message,
    signed_lines,
)
from support.simulation.run_scenarios import run_to_rest, until
from support.simulation.simulated_cluster import PREP_LOG, Scenario, SimulatedCluster

LATE = NOW + timedelta(hours=9)


async def take_snapshot(simulated: SimulatedCluster, now: datetime = LATE) -> Snapshot:
    """What the operator gathers."""
    resource = await simulated.cluster.get(TRAINING, NAMESPACE, "x")
    assert resource is not None
    return await gather(simulated.cluster, Run.read(resource, Settings()), now, Reads())


SUPPORT = ["get ConfigMap", "get PersistentVolumeClaim", "get PersistentVolumeClaim"]
NO_ATTEMPT = ["get PyTorchJob", "list PyTorchJob"]  # by its name, then by the run's label
STAGES = {
    "nothing is there": ("", ["list Pod", "get Job", *NO_ATTEMPT, *SUPPORT]),
    "the prep Job has no pod": (
        "bind x-output",
        ["list Pod", "get Job", *SUPPORT, "list Event"],
    ),
    "the prep pod is on its node": (
        "find a node for x-prep",
        ["list Pod", "get Job", *SUPPORT, "list Event", "get Node"],
    ),
    "prep runs": (
        "start the container of x-prep",
        ["list Pod", "get Job", "read_log Pod", "get Node"],
    ),
    "prep has ended, its Job does not know yet": (
        "end the container of x-prep",
        ["list Pod", "get Job", "read_log Pod"],
    ),
    "prep is done": ("settle x-prep", ["list Pod", "get Job", *NO_ATTEMPT, *SUPPORT]),
    "training has a pod": (
        "make a pod of x-1",
        ["list Pod", "get PyTorchJob", *SUPPORT],
    ),
    "training runs": (
        "start the container of x-1",
        ["list Pod", "get PyTorchJob", "read_log Pod", "get Node"],
    ),
    "training is done": ("settle x-1", ["list Pod", "get PyTorchJob", "read_log Pod"]),
}


@pytest.mark.parametrize(("step", "want"), STAGES.values(), ids=STAGES)
def test_requests_at_each_stage(step: str, want: list[str]) -> None:
    async def see() -> list[str]:
        simulated = await until(step, times=1 if step else 0)
        before = len(simulated.cluster.calls) + 1  # the run
        await take_snapshot(simulated)
        return [f"{call.method} {call.kind.kind}" for call in simulated.cluster.calls[before:]]

    assert asyncio.run(see()) == want


def test_after_a_failed_attempt_all_is_read_that_the_next_one_needs() -> None:
    async def see() -> None:
        simulated = await until("settle x-1", scenario=Scenario(training=(71, 0)))
        before = len(simulated.cluster.calls) + 1  # the run
        snapshot = await take_snapshot(simulated)
        calls = [f"{call.method} {call.kind.kind}" for call in simulated.cluster.calls[before:]]
        assert calls == [
            "list Pod",
            *NO_ATTEMPT,
            "get PyTorchJob",  # by the name of the next attempt: is it somebody else's?
            "read_log Pod",
            *SUPPORT,
        ]
        assert snapshot.in_the_way is None
        foreign = {"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob"}
        await simulated.cluster.create(
            foreign | {"metadata": {"name": "x-2", "namespace": NAMESPACE}}
        )
        other = (await take_snapshot(simulated)).in_the_way
        assert other is not None
        assert other["metadata"]["name"] == "x-2"
        for _ in range(2):
            await simulated.reconcile()
            simulated.wait()
        status = await simulated.status()
        assert condition_reasons(status)["Accepted"] == ("False", "NameTaken")
        simulated.cluster.delete(PYTORCHJOB, NAMESPACE, "x-2")
        await run_to_rest(simulated)
        assert (await simulated.status()).phase == "Complete"

    asyncio.run(see())


def test_what_refuses_the_next_prep_pod_is_read() -> None:
    async def see() -> list[str]:
        simulated = SimulatedCluster(Scenario(prep=(69, 0)))
        await simulated.create_run()
        while True:
            await simulated.reconcile()
            name, made = next(iter((await simulated.next_steps()).items()))
            await simulated.perform(made)
            if name == "end the container of x-prep":
                break
        before = len(simulated.cluster.calls)
        await take_snapshot(simulated)
        return [f"{call.method} {call.kind.kind}" for call in simulated.cluster.calls[before:]]

    assert asyncio.run(see())[-1] == "list Event"


def test_the_claims_of_a_run_that_this_version_refuses_are_those_of_its_pin() -> None:
    async def see() -> Snapshot:
        simulated = await until("start the container of x-1")
        await simulated.reconcile()
        simulated.cluster.delete(PYTORCHJOB, NAMESPACE, "x-1")
        simulated.cluster.delete(CLAIM, NAMESPACE, "x-output")
        resource = await simulated.cluster.get(TRAINING, NAMESPACE, "x")
        assert resource is not None
        resource["spec"]["gpu"] = {"nodes": 2}
        return await gather(simulated.cluster, Run.read(resource, Settings()), LATE, Reads())

    support = asyncio.run(see()).support
    assert support[CLAIM, "x-output"] is None
    assert support[CLAIM, "qinstruct-cache"] is not None


@pytest.mark.parametrize(("generation", "wanted"), [(1, []), (2, ["get ConfigMap"])])
@pytest.mark.parametrize("step", ["start the container of x-prep", "start the container of x-1"])
def test_the_pin_is_read_where_the_spec_has_changed(
    step: str, generation: int, wanted: list[str]
) -> None:
    async def see() -> list[str]:
        simulated = await until(step)
        await simulated.reconcile()
        resource = await simulated.cluster.get(TRAINING, NAMESPACE, "x")
        assert resource is not None
        resource["metadata"]["generation"] = generation
        before = len(simulated.cluster.calls)
        snapshot = await gather(simulated.cluster, Run.read(resource, Settings()), LATE, Reads())
        assert [text(raw, "data", "spec.json") for raw in snapshot.support.values()] == [
            '{"size":"7B","strategy":"after"}'
        ] * len(wanted)
        calls = [f"{call.method} {call.kind.kind}" for call in simulated.cluster.calls[before:]]
        return [call for call in calls if call == "get ConfigMap"]

    assert asyncio.run(see()) == wanted


def test_a_finished_run_costs_one_request() -> None:
    async def see() -> list[str]:
        simulated = SimulatedCluster(Scenario())
        await simulated.create_run()
        await run_to_rest(simulated)
        before = len(simulated.cluster.calls)
        await simulated.reconcile()
        return [f"{call.method} {call.kind.kind}" for call in simulated.cluster.calls[before:]]

    assert asyncio.run(see()) == ["get QInstructTraining"]


def test_the_log_is_that_of_the_container_at_work() -> None:
    async def see() -> None:
        simulated = await until("hear x-prep")
        snapshot = await take_snapshot(simulated)
        uid = snapshot.pods[-1]["metadata"]["uid"]
        assert snapshot.log == signed_lines(PREP_LOG[:1], uid)
        simulated = await until("hear x-1")
        snapshot = await take_snapshot(simulated)
        assert snapshot.training is not None
        assert snapshot.prep is None
        assert "start" in snapshot.log[0]

    asyncio.run(see())


def test_a_node_is_not_asked_while_its_pod_speaks() -> None:
    async def see() -> list[str]:
        simulated = await until("hear x-1")
        before = len(simulated.cluster.calls) + 1
        await take_snapshot(simulated, NOW)
        return [f"{call.method} {call.kind.kind}" for call in simulated.cluster.calls[before:]]

    assert asyncio.run(see()) == ["list Pod", "get PyTorchJob", "read_log Pod"]


def test_a_node_that_is_gone() -> None:
    async def see() -> None:
        simulated = await until("start the container of x-1")
        await simulated.reconcile()
        assert (await simulated.status()).phase == "Loading"
        simulated.cluster.delete(NODE, None, "node-1")
        await simulated.reconcile()
        status = await simulated.status()
        assert condition_reasons(status)["Running"] == ("Unknown", "NodeLost")
        assert "node node-1 is gone from the cluster" in message(status, "Running")

    asyncio.run(see())


@pytest.mark.parametrize("step", ["start the container of x-1", "find a node for x-1"])
def test_without_the_right_to_read_nodes_all_goes_on(step: str) -> None:
    async def see() -> None:
        simulated = await until(step)
        simulated.cluster.fail(Forbidden("get node node-1: forbidden"), "get", kind=NODE, times=9)
        await simulated.reconcile()
        assert (await simulated.status()).phase in ("Loading", "Starting")

    asyncio.run(see())


FORBIDDEN = Forbidden("pods is forbidden", status=403)
UNREAD: dict[str, tuple[str, str, Kind, list[str], set[str]]] = {
    "the prep Job": (
        "hear x-prep", "get", JOB, ["list Pod", "get Job", "get PyTorchJob"], {"prep"},
    ),
    "the PyTorchJob": ("hear x-1", "get", PYTORCHJOB, ["list Pod", "get PyTorchJob"], {"training"}),
    "the pods": ("hear x-1", "list", POD, ["list Pod", "get PyTorchJob"], {"pods"}),
    "the log": ("hear x-1", "read_log", POD, STAGES["training runs"][1], {"log"}),
    "the ConfigMap": ("settle x-prep", "get", CONFIG_MAP, STAGES["prep is done"][1], {"support"}),
    "a claim": ("settle x-prep", "get", CLAIM, STAGES["prep is done"][1], {"support"}),
    "the events": (
        "bind x-output", "list", EVENT, STAGES["the prep Job has no pod"][1], {"events"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", UNREAD.values(), ids=UNREAD)
def test_a_read_that_fails_is_not_an_empty_one(
    case: tuple[str, str, Kind, list[str], set[str]],
) -> None:
    step, method, kind, want, unread = case

    async def see() -> None:
        simulated = await until(step)
        simulated.cluster.fail(FORBIDDEN, method, kind=kind)
        before = len(simulated.cluster.calls) + 1  # the run
        snapshot = await take_snapshot(simulated)
        calls = [f"{call.method} {call.kind.kind}" for call in simulated.cluster.calls[before:]]
        assert calls == want
        assert snapshot.unread == dict.fromkeys(unread, "pods is forbidden")

    asyncio.run(see())


def test_the_first_pass_says_how_a_missing_kind_of_workload_is_installed() -> None:
    async def see() -> None:
        simulated = SimulatedCluster(Scenario())
        await simulated.create_run()
        unknown = UnknownKind("get PyTorchJob: the cluster does not know this kind", status=404)
        simulated.cluster.fail(unknown, "get", kind=PYTORCHJOB, times=2)  # to begin, to go on
        with pytest.raises(Told):
            await simulated.reconcile()
        said = message(await simulated.status(), "Prepared")
        assert f"{unknown} Install the training-operator: kubectl apply --server-side -k" in said
        simulated.cluster.fail(UnknownKind("no Jobs", status=404), "get", kind=JOB)
        assert (await take_snapshot(simulated)).unread == {"prep": "no Jobs"}

    asyncio.run(see())


def test_a_prep_job_that_cannot_be_read_does_not_hide_a_run_that_trains() -> None:
    async def see() -> None:
        simulated = await until("hear x-1")
        user_actions = await simulated.user_actions()
        await simulated.perform(user_actions["wipe the status"])
        simulated.cluster.fail(FORBIDDEN, "get", kind=JOB)
        snapshot = await take_snapshot(simulated)
        assert snapshot.unread == {"prep": "pods is forbidden"}
        assert [each["metadata"]["name"] for each in snapshot.pods] == ["x-1-0", "x-prep-0"]
        assert snapshot.log
        simulated.cluster.fail(FORBIDDEN, "get", kind=JOB)
        with pytest.raises(Told):
            await simulated.reconcile()
        status = await simulated.status()
        assert condition_reasons(status)["Scheduled"] == ("True", "Scheduled")
        assert condition_reasons(status)["Running"][0] == "True"

    asyncio.run(see())


def test_a_claim_that_was_grown_is_left_alone() -> None:
    """Between prep and training as well: applied again it would shrink, which is refused."""

    async def see() -> None:
        simulated = await until("settle x-prep")
        await simulated.reconcile()
        assert not any(method == "apply" for method, _, _ in simulated.operator.writes)
        writes = [
            (method, name) for method, kind, name in simulated.operator.writes if kind != "Event"
        ]
        assert [name for method, name in writes if method == "create"] == [
            "x-config", "qinstruct-cache", "x-output", "x-prep", "x-1",
        ]  # fmt: skip

    asyncio.run(see())


def test_a_run_restored_without_status_and_prep_job_goes_on() -> None:
    async def see() -> None:
        simulated = await until("start the container of x-1")
        user_actions = await simulated.user_actions()
        for name in ("delete Job x-prep", "wipe the status"):
            await simulated.perform(user_actions[name])
        await simulated.reconcile()
        assert (await simulated.status()).phase == "Loading"
        assert await simulated.names(JOB) == []
        assert await simulated.names(PYTORCHJOB) == ["x-1"]
        assert len(await simulated.names(POD)) == 1

    asyncio.run(see())


def test_a_run_that_is_deleted_or_being_deleted_is_left_alone() -> None:
    async def see() -> None:
        simulated = SimulatedCluster(Scenario())
        await simulated.reconcile()
        await simulated.create_run()
        simulated.cluster.edit(
            TRAINING, NAMESPACE, "x",
            lambda found: found["metadata"].update(deletionTimestamp="2026-03-01T12:00:00Z"),
        )  # fmt: skip
        await simulated.reconcile()
        assert simulated.operator.writes == []

    asyncio.run(see())


@pytest.mark.parametrize("going", [True, False], ids=["going with an earlier run", "kept"])
def test_an_output_claim_that_is_there(going: bool) -> None:
    """Prep must not fill a claim that the garbage collector is about to take."""

    async def see() -> None:
        simulated = SimulatedCluster(Scenario())
        await simulated.create_run()
        old = claim("x-output", owner=OTHER_UID if going else None)
        await simulated.cluster.create(old | {"apiVersion": "v1"})
        await simulated.reconcile()
        assert await simulated.names(JOB) == ([] if going else ["x-prep"])
        if going:
            simulated.cluster.delete(CLAIM, NAMESPACE, "x-output")
        await run_to_rest(simulated)
        assert (await simulated.status()).phase == "Complete"

    asyncio.run(see())


@pytest.mark.parametrize("hours", [1, -1])
def test_events_are_read_whatever_our_clock_shows(hours: int) -> None:
    async def see() -> None:
        simulated = await until("bind x-output")
        before = len(simulated.cluster.calls)
        await take_snapshot(simulated, NOW + timedelta(hours=hours))
        asked = [call.kind for call in simulated.cluster.calls[before:] if call.method == "list"]
        assert asked == [POD, EVENT]

    asyncio.run(see())
