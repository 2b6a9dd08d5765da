"""Properties of reconciliation: it comes to rest, in any order of events.

The cluster is the in-memory one, with everybody else in it (`support.simulation`).
"""

import asyncio
import logging
import re
from contextlib import suppress
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qinstruct_operator import reconcile
from qinstruct_operator.cluster.errors import (
    ClusterError,
    Conflict,
    Forbidden,
    Refused,
    UnknownKind,
)
from qinstruct_operator.cluster.port import Resource
from qinstruct_operator.core.condition_list import is_finished
from qinstruct_operator.kinds import CLAIM, CONFIG_MAP, EVENT, JOB, POD, TRAINING, Kind
from qinstruct_operator.reconcile import Told
from support.kinds import PYTORCHJOB
from support.observed import NAMESPACE, condition_reasons, message
from support.simulation.recording_operator import Operator
from support.simulation.run_scenarios import (
    SCENARIOS,
    Outcome,
    expected_outcome,
    outcome,
    reconcile_to_fixed_point,
    run_in_random_order,
    run_scenario,
    run_to_rest,
    until,
)
from support.simulation.simulated_cluster import Scenario, SimulatedCluster

ENDS = {
    "it goes well": "Complete",
    "prep is tried again": "Complete",
    "prep's data are bad": "Failed",
    "prep fails for ever": "Failed",
    "training fails": "Failed",
    "training is stopped": "Complete",
    "training is tried again": "Complete",
    "training fails too often": "Failed",
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_run_comes_to_its_end(name: str) -> None:
    async def see() -> None:
        simulated = await run_scenario(SCENARIOS[name])
        status = await simulated.status()
        assert is_finished(status)
        assert status.phase == ENDS[name]
        assert ("x-1" in await simulated.names(PYTORCHJOB)) == simulated.was_prepared
        assert (status.progress == "100%") == (status.phase == "Complete")

    asyncio.run(see())


def test_nothing_is_written_twice_at_any_moment() -> None:
    async def see() -> None:
        simulated = SimulatedCluster(Scenario(prep=(69, 0), training=(143, 71, 0)))
        await simulated.create_run()
        while True:
            await reconcile_to_fixed_point(simulated)
            next_steps = await simulated.next_steps()
            if not next_steps:
                return
            await simulated.perform(next(iter(next_steps.values())))

    asyncio.run(see())


ERRORS: Final = {
    "internal": ClusterError("an error on the server", status=500),
    "unavailable": ClusterError("unavailable", status=503),
    "timeout": ClusterError("the server was unable to return a response in time", status=504),
    "too many": ClusterError("too many requests", status=429, retry_after=7.0),
    "webhook": ClusterError('failed calling webhook "no.example": no answer', status=500),
    "unreachable": ClusterError("no answer within 30 s"),
    "forbidden": Forbidden("exceeded quota", status=403),
    "refused": Refused("invalid", status=422),
    "unknown kind": UnknownKind("is its CustomResourceDefinition installed?", status=404),
}


@pytest.mark.parametrize("kind", [CONFIG_MAP, CLAIM, JOB], ids=lambda kind: kind.kind)
@pytest.mark.parametrize("name", ERRORS)
def test_a_child_that_is_not_taken_is_in_the_status_and_tried_again(name: str, kind: Kind) -> None:
    error = ERRORS[name]

    async def see() -> None:
        simulated = SimulatedCluster(Scenario())
        await simulated.create_run()
        simulated.cluster.fail(error, "create", kind=kind)
        with pytest.raises(Told, match=re.escape(str(error))) as raised:
            await simulated.reconcile()
        assert raised.value.retry_after == error.retry_after
        status = await simulated.status()
        assert condition_reasons(status)["Accepted"] == ("True", "Accepted")
        assert condition_reasons(status)["Prepared"] == ("False", "Refused")
        assert message(status, "Prepared").startswith(str(error))
        assert ("Warning", "Refused") in await simulated.events()
        assert await simulated.names(JOB) == []
        await simulated.reconcile()
        assert await simulated.names(JOB) == ["x-prep"]
        await run_to_rest(simulated)
        assert (await simulated.status()).phase == "Complete"

    asyncio.run(see())


@pytest.mark.parametrize(("method", "kind"), [("apply", CONFIG_MAP), ("create", PYTORCHJOB)])
@pytest.mark.parametrize("name", ERRORS)
def test_that_prep_has_ended_is_not_hidden_by_what_follows(
    name: str, method: str, kind: Kind
) -> None:
    async def see() -> None:
        simulated, other = await until("settle x-prep"), {"checkpoint": {"everyMinutes": 7}}
        if method == "apply":  # of a ConfigMap for a spec that was changed meanwhile
            simulated.cluster.edit(TRAINING, NAMESPACE, "x", lambda run: run["spec"].update(other))
        simulated.cluster.fail(ERRORS[name], method, kind=kind)
        with pytest.raises(Told):
            await simulated.reconcile()
        status = await simulated.status()
        assert condition_reasons(status)["Prepared"] == ("True", "Prepared")
        assert condition_reasons(status)["Scheduled"] == ("False", "Refused")
        assert message(status, "Scheduled").startswith(str(ERRORS[name]))
        await run_to_rest(simulated)
        assert (await simulated.status()).phase == "Complete"

    asyncio.run(see())


@pytest.mark.parametrize("name", ERRORS)
def test_events_never_matter(name: str, caplog: pytest.LogCaptureFixture) -> None:
    wanted = expected_outcome(Scenario())

    async def see() -> None:
        simulated = SimulatedCluster(Scenario())
        await simulated.create_run()
        simulated.cluster.fail(ERRORS[name], "create", kind=EVENT, times=1000)
        await run_to_rest(simulated)
        assert await outcome(simulated) == wanted
        assert await simulated.events() == []

    asyncio.run(see())
    assert f"event Accepted of x is lost: {ERRORS[name]}" in caplog.text


def test_an_event_is_posted_again_once() -> None:
    async def see() -> None:
        simulated = SimulatedCluster(Scenario())
        await simulated.create_run()
        simulated.cluster.fail(ERRORS["too many"], "create", kind=EVENT)
        await simulated.reconcile()
        assert await simulated.events() == [("Normal", "Accepted")]

    asyncio.run(see())


def test_a_server_that_takes_no_event_in_time_delays_a_pass_by_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reconcile, "_EVENT_SECONDS", 0.05)

    class Deaf(Operator):
        async def create(self, manifest: Resource) -> Resource | None:
            if manifest["kind"] == EVENT.kind:
                await asyncio.sleep(3600)
            return await super().create(manifest)

    async def see() -> None:
        simulated = SimulatedCluster(Scenario())
        simulated.operator = Deaf(simulated)
        await simulated.create_run()
        async with asyncio.timeout(30):
            await simulated.reconcile()
        assert (await simulated.status()).phase == "Pending"

    asyncio.run(see())


@pytest.mark.parametrize("method", ["get", "replace_status"])
@pytest.mark.parametrize("name", ["forbidden", "unknown kind", "unreachable"])
def test_without_the_run_itself_there_is_no_pass_and_another_one(name: str, method: str) -> None:
    async def see() -> None:
        simulated = SimulatedCluster(Scenario())
        await simulated.create_run()
        simulated.cluster.fail(ERRORS[name], method, kind=TRAINING)
        with pytest.raises(type(ERRORS[name])):
            await simulated.reconcile()
        assert (await simulated.status()).phase is None
        await run_to_rest(simulated)
        assert (await simulated.status()).phase == "Complete"

    asyncio.run(see())


def test_a_quota_that_changes_at_the_same_moment_is_no_refusal() -> None:
    async def see() -> None:
        simulated = SimulatedCluster(Scenario())
        await simulated.create_run()
        simulated.cluster.fail(Conflict("the object has been modified", status=409), "create")
        with pytest.raises(Told, match="has been modified"):
            await simulated.reconcile()
        status = await simulated.status()
        assert condition_reasons(status)["Prepared"] == ("False", "Pending")

    asyncio.run(see())


FAULTS = st.lists(
    st.tuples(
        st.sampled_from(["get", "list", "read_log", "create", "apply", "replace_status"]),
        st.sampled_from([JOB, PYTORCHJOB, POD, CONFIG_MAP, CLAIM, EVENT, TRAINING]),
        st.sampled_from(list(ERRORS)),
        st.integers(0, 2),
        st.integers(1, 4),
        st.booleans(),
    ),
    max_size=20,
)


@settings(deadline=None, max_examples=40)
@given(FAULTS, st.lists(st.integers(0, 11), max_size=50), st.sampled_from(list(SCENARIOS)))
def test_requests_that_fail_change_neither_the_end_nor_what_was_true(
    faults: list[tuple[str, Kind, str, int, int, bool]], choices: list[int], name: str
) -> None:
    wanted = expected_outcome(SCENARIOS[name])

    async def see() -> None:
        simulated = SimulatedCluster(SCENARIOS[name])
        await simulated.create_run()
        true: set[str] = set()
        num_passes = 0
        for choice in choices:
            next_steps = list((await simulated.next_steps()).values())
            if choice % 3 and next_steps:
                await simulated.perform(next_steps[choice % len(next_steps)])
                continue
            for method, kind, error, after, times, lost in faults[num_passes : num_passes + 2]:
                simulated.cluster.fail(
                    ERRORS[error], method, kind=kind, after=after, times=times, lost=lost
                )
            with suppress(ClusterError):
                await simulated.reconcile()
            simulated.cluster.heal()
            num_passes += 1
            reasons = condition_reasons(await simulated.status())
            holds = {type_ for type_, (status, _) in reasons.items() if status == "True"}
            sticky = {"Accepted", "Prepared", "Scheduled"}
            if reasons.get("Scheduled", ("", ""))[1] == "Recovering":
                sticky.remove("Scheduled")
            assert not (true & sticky) - holds
            true = holds
        await run_to_rest(simulated)
        end = await outcome(simulated)
        assert (end.phase, end.children) == (wanted.phase, wanted.children)
        if not faults:
            assert end == wanted

    logging.disable(logging.CRITICAL)
    try:
        asyncio.run(see())
    finally:
        logging.disable(logging.NOTSET)


CHOICES = st.lists(st.integers(0, 11), max_size=50)


@settings(deadline=None, max_examples=40)
@given(CHOICES, st.sampled_from(list(SCENARIOS)))
def test_order_loss_and_repetition_of_events_do_not_matter(choices: list[int], name: str) -> None:
    wanted = expected_outcome(SCENARIOS[name])

    async def see() -> None:
        simulated = SimulatedCluster(SCENARIOS[name])
        await simulated.create_run()
        await run_in_random_order(simulated, choices)
        await run_to_rest(simulated)
        assert await outcome(simulated) == wanted

    asyncio.run(see())


@settings(deadline=None, max_examples=40)
@given(st.lists(CHOICES, min_size=2, max_size=4), st.sampled_from(list(SCENARIOS)), st.data())
def test_what_a_user_deletes_is_made_again(
    walks: list[list[int]], name: str, data: st.DataObject
) -> None:
    wanted = expected_outcome(SCENARIOS[name])

    async def see() -> None:
        simulated = SimulatedCluster(SCENARIOS[name])
        await simulated.create_run()
        for walk in walks:
            await run_in_random_order(simulated, walk)
            user_actions = await simulated.user_actions()
            await simulated.perform(user_actions[data.draw(st.sampled_from(sorted(user_actions)))])
        await run_to_rest(simulated)
        end = await outcome(simulated)
        assert (end.phase, said(end)) == (wanted.phase, said(wanted))

    def said(end: Outcome) -> str:
        """An attempt that was deleted has another one after it."""
        return re.sub(r"\bx-\d+", "x-N", str(end.conditions))

    asyncio.run(see())
