"""The contract of `port.Cluster`: one suite for the fake cluster and for a real one.

A behaviour is a function of a `Target`; each gets a namespace of its own. Those of objects are in
`objects`; those of the status, garbage collection and logs are here.
"""

import asyncio
import copy
from typing import Any, Final

import pytest

from qinstruct_operator.cluster.errors import Conflict, NotFound, Refused
from qinstruct_operator.kinds import CONFIG_MAP, TRAINING
from support.port_contract import objects  # noqa: F401 - adds its own to the suite
from support.port_contract.target import (
    COLLECTED,
    Behaviour,
    Target,
    behaviour,
    condition,
    config_map,
    found,
    pod,
    reference,
    training,
    version,
)

# The status.


@behaviour
async def a_status_is_replaced_whole(target: Target) -> None:
    made = await target.cluster.apply(training(target))
    first: dict[str, Any] = {
        "observedGeneration": 1,
        "attempt": 2,
        "conditions": [condition("Accepted"), condition("Running")],
    }
    written = await target.cluster.replace_status(made, first)
    assert written["status"] == first
    second = {"observedGeneration": 1, "conditions": [condition("Complete")]}
    written = await target.cluster.replace_status(written, second)
    assert written["status"] == second
    assert await found(target, TRAINING, "run") == written
    assert (await target.cluster.replace_status(written, {})).get("status", {}) == {}


@behaviour
async def a_status_that_is_the_same_changes_nothing(target: Target) -> None:
    made = await target.cluster.apply(training(target))
    once = await target.cluster.replace_status(made, {"observedGeneration": 1})
    again = await target.cluster.replace_status(once, {"observedGeneration": 1})
    assert version(made) != version(once)
    assert version(once) == version(again)


@behaviour
async def a_status_touches_nothing_else(target: Target) -> None:
    made = await target.cluster.apply(training(target))
    seen = copy.deepcopy(made)
    seen["spec"]["size"] = "13B"
    seen["metadata"]["labels"] = {"team": "other", "more": "yes"}
    written = await target.cluster.replace_status(seen, {"observedGeneration": 1})
    assert written["spec"] == made["spec"]
    assert written["metadata"]["labels"] == made["metadata"]["labels"]
    without = training(target)
    del without["metadata"]["labels"]
    assert "labels" not in (await target.cluster.apply(without))["metadata"], "it is still ours"


@behaviour
async def a_status_survives_an_apply(target: Target) -> None:
    made = await target.cluster.apply(training(target))
    written = await target.cluster.replace_status(made, {"observedGeneration": 1})
    again = await target.cluster.apply(training(target))
    assert again["status"] == written["status"]
    assert version(again) == version(written)


@behaviour
async def a_status_with_an_old_resource_version_is_a_conflict(target: Target) -> None:
    made = await target.cluster.apply(training(target))
    await target.cluster.replace_status(made, {"observedGeneration": 1})
    with pytest.raises(Conflict) as caught:
        await target.cluster.replace_status(made, {"observedGeneration": 2})
    assert caught.value.status == 409
    assert (await found(target, TRAINING, "run"))["status"] == {"observedGeneration": 1}


@behaviour
async def a_status_of_a_deleted_object_is_not_found(target: Target) -> None:
    made = await target.cluster.apply(training(target))
    await target.delete(TRAINING, "run")
    with pytest.raises(NotFound) as caught:
        await target.cluster.replace_status(made, {"observedGeneration": 1})
    assert caught.value.status == 404


@behaviour
async def a_status_is_not_written_to_a_namesake(target: Target) -> None:
    made = await target.cluster.apply(training(target))
    await target.delete(TRAINING, "run")
    namesake = await target.cluster.apply(training(target))
    assert namesake["metadata"]["uid"] != made["metadata"]["uid"]
    with pytest.raises(Conflict):
        await target.cluster.replace_status(made, {"observedGeneration": 1})


# Garbage and logs.


@behaviour
async def children_are_deleted_with_their_owner(target: Target) -> None:
    owner = await target.cluster.apply(training(target))
    child = config_map(target, "child", k="v")
    child["metadata"]["ownerReferences"] = [reference(owner)]
    middle = await target.cluster.apply(child)
    grandchild = config_map(target, "grandchild", k="v")
    grandchild["metadata"]["ownerReferences"] = [reference(middle)]
    await target.cluster.apply(grandchild)
    await target.cluster.apply(config_map(target, "bystander", k="v"))
    await target.delete(TRAINING, "run")
    async with asyncio.timeout(30):  # a real collector comes when it comes
        for name in ("child", "grandchild"):
            while await target.cluster.get(CONFIG_MAP, target.namespace, name):
                await asyncio.sleep(0.1)
    assert await target.cluster.get(CONFIG_MAP, target.namespace, "bystander")


@behaviour
async def an_absent_pod_has_no_log(target: Target) -> None:
    assert await target.cluster.read_log(target.namespace, "nobody", "main", tail_lines=5) == ()
    with pytest.raises(NotFound):
        await anext(target.cluster.follow_log(target.namespace, "nobody", "main"))


@behaviour
async def a_container_that_has_not_started_has_no_log(target: Target) -> None:
    await target.cluster.apply(pod(target))
    assert await target.cluster.read_log(target.namespace, "pod", "main", tail_lines=5) == ()


@behaviour
async def a_container_that_is_not_in_the_pod_is_refused(target: Target) -> None:
    await target.cluster.apply(pod(target))
    with pytest.raises(Refused):
        await target.cluster.read_log(target.namespace, "pod", "other", tail_lines=5)


BEHAVIOURS: Final[tuple[Behaviour, ...]] = tuple(COLLECTED)
"""All of them."""
