"""What is said, and made, while hours pass or what a run waits for vanishes or is edited."""

import asyncio
import json
from typing import Any

import pytest

from qinstruct_operator.cluster.errors import NotFound
from qinstruct_operator.core.times import time_text
from qinstruct_operator.kinds import CONFIG_MAP, NODE, POD
from support.kinds import PYTORCHJOB
from support.observed import NAMESPACE, condition_reasons
from support.simulation.run_scenarios import run_to_rest, until


@pytest.mark.parametrize(
    ("step", "condition", "status"),
    [
        ("start the container of x-prep", "Prepared", "False"),
        ("start the container of x-1", "Running", "True"),
    ],
)
def test_a_container_that_never_says_a_word_is_silent(
    step: str, condition: str, status: str
) -> None:
    """Whatever the container of the stage before has said."""

    async def see() -> None:
        simulated = await until(step)
        await simulated.reconcile()
        for _ in range(2):
            simulated.wait(hours=1)
            ready = {
                "type": "Ready",
                "status": "True",
                "lastHeartbeatTime": time_text(simulated.now),
            }
            simulated.cluster.set_status(NODE, None, "node-1", {"conditions": [ready]})
            await simulated.reconcile()
        found = condition_reasons(await simulated.status())
        assert found[condition] == (status, "Silent")

    asyncio.run(see())


def test_a_pod_that_has_just_vanished_is_no_controllers_omission() -> None:
    async def see() -> None:
        simulated = await until("find no node for x-1")

        def written(found: Any) -> None:
            written_at = time_text(simulated.now)
            found["metadata"]["managedFields"] = [{"time": written_at, "subresource": "status"}]

        simulated.cluster.edit(PYTORCHJOB, NAMESPACE, "x-1", written)
        await simulated.reconcile()
        simulated.wait(hours=1)
        await simulated.reconcile()
        for name in await simulated.names(POD):
            simulated.cluster.delete(POD, NAMESPACE, name)
        simulated.wait(seconds=1)
        await simulated.reconcile()
        assert condition_reasons(await simulated.status())["Scheduled"] == ("False", "Pending")

    asyncio.run(see())


def test_a_run_that_is_deleted_before_its_end_is_written_is_no_bug() -> None:
    async def see() -> None:
        simulated = await until("settle x-1")
        simulated.cluster.fail(NotFound("gone", status=404), "replace_status")
        await simulated.reconcile()

    asyncio.run(see())


BOMB = "[" * 100_000


def with_unknown_field(text: str) -> str:
    return json.dumps({**json.loads(text), "ofALaterVersion": 1})


@pytest.mark.parametrize("key", ["spec.json", "run.json", "prep.json"])
@pytest.mark.parametrize("step", ["settle x-prep", "hear x-1"])
def test_a_config_map_that_somebody_filled_with_brackets_stops_nothing(key: str, step: str) -> None:
    async def see() -> None:
        simulated = await until(step)
        simulated.cluster.edit(
            CONFIG_MAP, NAMESPACE, "x-config", lambda found: found["data"].update({key: BOMB})
        )
        await simulated.reconcile()
        assert await simulated.names(PYTORCHJOB) == ["x-1"]

    asyncio.run(see())


def test_a_pinned_spec_that_this_version_does_not_read_is_no_wait_without_end() -> None:
    async def see() -> None:
        simulated = await until("settle x-prep")
        simulated.cluster.edit(
            CONFIG_MAP,
            NAMESPACE,
            "x-config",
            lambda found: found["data"].update(
                {"spec.json": with_unknown_field(found["data"]["spec.json"])}
            ),
        )
        await simulated.reconcile()
        assert await simulated.names(PYTORCHJOB) == ["x-1"]
        await run_to_rest(simulated)
        assert (await simulated.status()).phase == "Complete"

    asyncio.run(see())
