"""What every cluster behind `port.Cluster` does: one suite, for the fake and for a real one.

A behaviour is a function of a `Site`. Whoever runs them gives each one a namespace of its own.
"""

import copy
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import pytest

from qinstruct_operator.cluster.kinds import (
    CLAIM,
    CONFIG_MAP,
    EVENT,
    JOB,
    TRAINING,
    Kind,
)
from qinstruct_operator.cluster.port import Cluster, Resource
from qinstruct_operator.errors import Conflict, NotFound, Refused

RESTRICTED = {
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
ABSENT_KIND = Kind("absent.example/v1", "Absent", "absents")


@dataclass(frozen=True)
class Site:
    """Where a behaviour is tried.

    Attributes:
        cluster: the one under test.
        other: the same server, written to as another field manager.
        namespace: exists, is empty, and is nobody else's.
        delete: deletes an object; returns when it and all that it owned are gone.
    """

    cluster: Cluster
    other: Cluster
    namespace: str
    delete: Callable[[Kind, str], Awaitable[None]]


Behaviour = Callable[[Site], Coroutine[Any, Any, None]]

BEHAVIOURS: list[Behaviour] = []


def behaviour(function: Behaviour) -> Behaviour:
    """Add a function to the suite."""
    BEHAVIOURS.append(function)
    return function


def config_map(site: Site, name: str = "notes", **data: str) -> Resource:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": site.namespace},
        "data": data,
    }


def training(site: Site, name: str = "run") -> Resource:
    return {
        "apiVersion": TRAINING.api_version,
        "kind": TRAINING.kind,
        "metadata": {"name": name, "namespace": site.namespace, "labels": {"team": "vision"}},
        "spec": {"size": "Tiny", "strategy": "mix"},
    }


def job(site: Site, image: str = "example/prep:1") -> Resource:
    pod = {"restartPolicy": "Never", "containers": [{"name": "prep", "image": image}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "prep", "namespace": site.namespace},
        "spec": {"suspend": True, "template": {"spec": pod}},
    }


def pytorchjob(site: Site, image: str = "example/trainer:1") -> Resource:
    pod = {"containers": [{"name": "pytorch", "image": image}]}
    master = {"replicas": 1, "restartPolicy": "Never", "template": {"spec": pod}}
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "metadata": {"name": "train", "namespace": site.namespace},
        "spec": {
            "runPolicy": {"suspend": True},
            "pytorchReplicaSpecs": {"Master": master},
        },
    }


def pod(site: Site, name: str = "pod") -> Resource:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": site.namespace},
        "spec": {
            # No node has it: the pod stays as it was made.
            "nodeSelector": {"test.example/nowhere": "true"},
            "automountServiceAccountToken": False,
            "containers": [
                {"name": "main", "image": "example/main:1", "securityContext": RESTRICTED}
            ],
        },
    }


def event(site: Site, name: str, about: str, kind: str = "Warning") -> Resource:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": site.namespace},
        "involvedObject": {"kind": "Pod", "name": about, "namespace": site.namespace},
        "type": kind,
        "reason": "Tested",
        "message": "a test says so",
    }


def version(resource: Resource | None) -> str:
    assert resource is not None
    return str(resource["metadata"]["resourceVersion"])


async def found(site: Site, kind: Kind, name: str) -> Resource:
    resource = await site.cluster.get(kind, site.namespace, name)
    assert resource is not None
    return resource


def names(resources: tuple[Resource, ...]) -> list[str]:
    return [resource["metadata"]["name"] for resource in resources]


# Reading.


@behaviour
async def an_absent_object_is_none(site: Site) -> None:
    assert await site.cluster.get(CONFIG_MAP, site.namespace, "nobody") is None


@behaviour
async def an_object_of_a_kind_that_is_not_installed_is_none(site: Site) -> None:
    assert await site.cluster.get(ABSENT_KIND, site.namespace, "nobody") is None


@behaviour
async def a_name_reaches_no_other_object(site: Site) -> None:
    await site.cluster.apply(config_map(site, "a", k="v"))
    for name in ("", ".", "..", "../a", "./a", "a/../a", "a?x=y", "a#b", "%61"):
        assert await site.cluster.get(CONFIG_MAP, site.namespace, name) is None, name


@behaviour
async def a_list_of_a_kind_that_is_not_installed_is_not_found(site: Site) -> None:
    with pytest.raises(NotFound) as caught:
        await site.cluster.list(ABSENT_KIND, site.namespace)
    assert caught.value.status == 404


@behaviour
async def a_list_is_of_its_namespace_and_says_what_it_holds(site: Site) -> None:
    for name in ("b", "a"):
        await site.cluster.apply(config_map(site, name, k=name))
    mine = await site.cluster.list(CONFIG_MAP, site.namespace)
    everywhere = await site.cluster.list(CONFIG_MAP, None)
    assert [name for name in names(mine) if name in ("a", "b")] == ["a", "b"]
    assert all(one["apiVersion"] == "v1" and one["kind"] == "ConfigMap" for one in mine)
    assert await found(site, CONFIG_MAP, "a") in everywhere
    assert await site.cluster.list(CONFIG_MAP, f"{site.namespace}-not") == ()


@behaviour
async def a_list_by_labels_wants_all_of_them(site: Site) -> None:
    labels = {"neither": {}, "one": {"test.example/run": "x"}}
    labels["both"] = {"test.example/run": "x", "part": "y"}
    labels["wrong"] = {"test.example/run": "x", "part": "z"}
    for name, wanted in labels.items():
        manifest = config_map(site, name)
        manifest["metadata"]["labels"] = wanted
        await site.cluster.apply(manifest)
    some = await site.cluster.list(CONFIG_MAP, site.namespace, labels=labels["one"])
    both = await site.cluster.list(CONFIG_MAP, site.namespace, labels=labels["both"])
    assert (names(some), names(both)) == (["both", "one", "wrong"], ["both"])


@behaviour
async def a_list_by_fields_wants_all_of_them(site: Site) -> None:
    for manifest in (
        event(site, "e1", "a", "Warning"),
        event(site, "e2", "b", "Warning"),
        event(site, "e3", "a", "Normal"),
    ):
        assert await site.cluster.create(manifest)
    about = {"involvedObject.name": "a", "involvedObject.kind": "Pod"}
    all_about = await site.cluster.list(EVENT, site.namespace, fields=about)
    warnings = await site.cluster.list(EVENT, site.namespace, fields=about | {"type": "Warning"})
    named = await site.cluster.list(EVENT, site.namespace, fields={"metadata.name": "e2"})
    assert (names(all_about), names(warnings), names(named)) == (["e1", "e3"], ["e1"], ["e2"])


@behaviour
async def a_field_value_is_no_syntax(site: Site) -> None:
    await site.cluster.create(event(site, "e1", "a"))
    for value in ("a,type=Warning", "a\\", "="):
        fields = {"involvedObject.name": value}
        assert await site.cluster.list(EVENT, site.namespace, fields=fields) == ()


@behaviour
async def a_list_by_a_field_that_is_no_index_is_refused(site: Site) -> None:
    with pytest.raises(Refused) as caught:
        await site.cluster.list(CONFIG_MAP, site.namespace, fields={"data.k": "v"})
    assert caught.value.status == 400


# Writing.


@behaviour
async def apply_creates(site: Site) -> None:
    made = await site.cluster.apply(config_map(site, k="v"))
    assert made["data"] == {"k": "v"}
    assert made["metadata"].keys() >= {"uid", "resourceVersion", "creationTimestamp"}
    assert made == await found(site, CONFIG_MAP, "notes")


@behaviour
async def apply_again_changes_nothing(site: Site) -> None:
    for manifest in (config_map(site, k="v"), training(site)):
        once = await site.cluster.apply(copy.deepcopy(manifest))
        assert await site.cluster.apply(manifest) == once
    for manifest in (job(site), pytorchjob(site)):  # whose status a controller may write meanwhile
        once = await site.cluster.apply(copy.deepcopy(manifest))
        again = await site.cluster.apply(manifest)
        assert again["spec"] == once["spec"]
        assert again["metadata"]["generation"] == 1


@behaviour
async def apply_changes_a_value(site: Site) -> None:
    once = await site.cluster.apply(config_map(site, k="old", l="same"))
    again = await site.cluster.apply(config_map(site, k="new", l="same"))
    assert again["data"] == {"k": "new", "l": "same"}
    assert version(once) != version(again)
    assert once["metadata"]["uid"] == again["metadata"]["uid"]


@behaviour
async def apply_removes_what_it_no_longer_says(site: Site) -> None:
    await site.cluster.apply(config_map(site, k="v", gone="v"))
    assert (await site.cluster.apply(config_map(site, k="v")))["data"] == {"k": "v"}


@behaviour
async def apply_leaves_what_others_said(site: Site) -> None:
    await site.cluster.apply(config_map(site, k="v"))
    theirs = config_map(site, other="v")
    theirs["metadata"]["labels"] = {"theirs": "yes"}
    await site.other.apply(theirs)
    after = await site.cluster.apply(config_map(site, k="w"))
    assert after["data"] == {"k": "w", "other": "v"}
    assert after["metadata"]["labels"] == {"theirs": "yes"}


@behaviour
async def apply_leaves_what_others_say_as_well(site: Site) -> None:
    await site.cluster.apply(config_map(site, k="v", shared="v"))
    await site.other.apply(config_map(site, shared="v"))
    assert (await site.cluster.apply(config_map(site, k="v")))["data"]["shared"] == "v"
    assert "shared" not in (await site.other.apply(config_map(site))).get("data", {})


@behaviour
async def apply_wins_over_others(site: Site) -> None:
    await site.other.apply(config_map(site, k="theirs", l="theirs"))
    mine = await site.cluster.apply(config_map(site, k="mine"))
    assert mine["data"] == {"k": "mine", "l": "theirs"}
    theirs = await site.other.apply(config_map(site))
    assert theirs["data"] == {"k": "mine"}, "what was taken is no longer theirs to remove"


@behaviour
async def apply_replaces_a_list(site: Site) -> None:
    manifest = pytorchjob(site)
    container = manifest["spec"]["pytorchReplicaSpecs"]["Master"]["template"]["spec"]["containers"][
        0
    ]
    for command in (["a", "b", "c"], ["c", "a"]):
        container["command"] = command
        after = await site.cluster.apply(copy.deepcopy(manifest))
        master = after["spec"]["pytorchReplicaSpecs"]["Master"]
        assert master["template"]["spec"]["containers"][0]["command"] == command


@behaviour
async def apply_adds_an_owner_to_others(site: Site) -> None:
    owners = [await site.cluster.apply(config_map(site, name, k=name)) for name in ("o1", "o2")]
    for cluster, owner in zip((site.other, site.cluster), owners, strict=True):
        manifest = config_map(site, k="v")
        manifest["metadata"]["ownerReferences"] = [reference(owner)]
        child = await cluster.apply(manifest)
    kept = {one["name"] for one in child["metadata"]["ownerReferences"]}
    assert kept == {"o1", "o2"}


@behaviour
async def apply_says_nothing_of_the_status(site: Site) -> None:
    manifest = training(site) | {"status": {"observedGeneration": 7}}
    assert "status" not in await site.cluster.apply(manifest)


@behaviour
async def generation_counts_what_is_wanted(site: Site) -> None:
    made = await site.cluster.apply(training(site))
    labelled = training(site)
    labelled["metadata"]["labels"]["more"] = "yes"
    relabelled = await site.cluster.apply(labelled)
    labelled["spec"]["suspend"] = True
    changed = await site.cluster.apply(labelled)
    told = await site.cluster.patch_status(changed, {"observedGeneration": 2})
    generations = [one["metadata"]["generation"] for one in (made, relabelled, changed, told)]
    assert generations == [1, 1, 2, 2]


@behaviour
async def the_pods_of_a_job_cannot_be_changed(site: Site) -> None:
    before = await site.cluster.apply(job(site))
    with pytest.raises(Refused) as caught:
        await site.cluster.apply(job(site, image="example/prep:2"))
    assert caught.value.status == 422
    assert "spec.template" in str(caught.value)
    assert "immutable" in str(caught.value)
    assert (await found(site, JOB, "prep"))["spec"] == before["spec"]


@behaviour
async def a_job_can_be_suspended(site: Site) -> None:
    await site.cluster.apply(job(site))
    manifest = job(site)
    manifest["spec"]["backoffLimit"] = 5
    assert (await site.cluster.apply(manifest))["spec"]["backoffLimit"] == 5


@behaviour
async def the_pods_of_a_pytorchjob_can_be_changed_in_vain(site: Site) -> None:
    await site.cluster.apply(pytorchjob(site))
    after = await site.cluster.apply(pytorchjob(site, image="example/trainer:2"))
    master = after["spec"]["pytorchReplicaSpecs"]["Master"]
    assert master["template"]["spec"]["containers"][0]["image"] == "example/trainer:2"


@behaviour
async def a_claim_cannot_be_changed(site: Site) -> None:
    def claim(size: str) -> Resource:
        return {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "claim", "namespace": site.namespace},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "resources": {"requests": {"storage": size}},
            },
        }

    await site.cluster.apply(claim("2Gi"))
    with pytest.raises(Refused) as caught:
        await site.cluster.apply(claim("3Gi"))
    assert caught.value.status == 422
    assert (await found(site, CLAIM, "claim"))["spec"]["resources"]["requests"]["storage"] == "2Gi"


@behaviour
async def an_immutable_config_map_cannot_be_changed(site: Site) -> None:
    await site.cluster.apply(config_map(site, k="v") | {"immutable": True})
    for changed in (config_map(site, k="w") | {"immutable": True}, config_map(site, k="v")):
        with pytest.raises(Refused):
            await site.cluster.apply(changed)


@behaviour
async def a_name_that_cannot_be_is_refused(site: Site) -> None:
    for name in ("Upper", "under_score", "-x", "x" * 254):
        with pytest.raises(Refused) as caught:
            await site.cluster.apply(config_map(site, name))
        assert caught.value.status == 422


@behaviour
async def create_leaves_alone_what_is_there(site: Site) -> None:
    assert await site.cluster.create(config_map(site, k="first"))
    once = await found(site, CONFIG_MAP, "notes")
    assert not await site.cluster.create(config_map(site, k="second"))
    assert await found(site, CONFIG_MAP, "notes") == once


@behaviour
async def what_create_said_outlives_an_apply(site: Site) -> None:
    await site.cluster.create(config_map(site, k="v"))
    await site.cluster.apply(config_map(site, k="v", l="v"))
    assert (await site.cluster.apply(config_map(site)))["data"] == {"k": "v"}


# The status.


@behaviour
async def a_status_is_replaced_whole(site: Site) -> None:
    made = await site.cluster.apply(training(site))
    first: dict[str, Any] = {
        "observedGeneration": 1,
        "attempt": 2,
        "conditions": [condition("Accepted"), condition("Running")],
    }
    told = await site.cluster.patch_status(made, first)
    assert told["status"] == first
    second = {"observedGeneration": 1, "conditions": [condition("Complete")]}
    told = await site.cluster.patch_status(told, second)
    assert told["status"] == second
    assert await found(site, TRAINING, "run") == told
    assert (await site.cluster.patch_status(told, {})).get("status", {}) == {}


@behaviour
async def a_status_that_is_the_same_changes_nothing(site: Site) -> None:
    made = await site.cluster.apply(training(site))
    once = await site.cluster.patch_status(made, {"observedGeneration": 1})
    again = await site.cluster.patch_status(once, {"observedGeneration": 1})
    assert version(made) != version(once)
    assert version(once) == version(again)


@behaviour
async def a_status_touches_nothing_else(site: Site) -> None:
    made = await site.cluster.apply(training(site))
    seen = copy.deepcopy(made)
    seen["spec"]["size"] = "13B"
    seen["metadata"]["labels"] = {"team": "other", "more": "yes"}
    told = await site.cluster.patch_status(seen, {"observedGeneration": 1})
    assert told["spec"] == made["spec"]
    assert told["metadata"]["labels"] == made["metadata"]["labels"]
    without = training(site)
    del without["metadata"]["labels"]
    assert "labels" not in (await site.cluster.apply(without))["metadata"], "it is still ours"


@behaviour
async def a_status_outlives_an_apply(site: Site) -> None:
    made = await site.cluster.apply(training(site))
    told = await site.cluster.patch_status(made, {"observedGeneration": 1})
    again = await site.cluster.apply(training(site))
    assert again["status"] == told["status"]
    assert version(again) == version(told)


@behaviour
async def a_status_of_an_old_reading_is_a_conflict(site: Site) -> None:
    made = await site.cluster.apply(training(site))
    await site.cluster.patch_status(made, {"observedGeneration": 1})
    with pytest.raises(Conflict) as caught:
        await site.cluster.patch_status(made, {"observedGeneration": 2})
    assert caught.value.status == 409
    assert (await found(site, TRAINING, "run"))["status"] == {"observedGeneration": 1}


@behaviour
async def a_status_of_a_gone_object_is_not_found(site: Site) -> None:
    made = await site.cluster.apply(training(site))
    await site.delete(TRAINING, "run")
    with pytest.raises(NotFound) as caught:
        await site.cluster.patch_status(made, {"observedGeneration": 1})
    assert caught.value.status == 404


@behaviour
async def a_status_is_not_for_a_namesake(site: Site) -> None:
    made = await site.cluster.apply(training(site))
    await site.delete(TRAINING, "run")
    namesake = await site.cluster.apply(training(site))
    assert namesake["metadata"]["uid"] != made["metadata"]["uid"]
    with pytest.raises(Conflict):
        await site.cluster.patch_status(made, {"observedGeneration": 1})


# Garbage and logs.


@behaviour
async def children_go_with_their_owner(site: Site) -> None:
    owner = await site.cluster.apply(training(site))
    child = config_map(site, "child", k="v")
    child["metadata"]["ownerReferences"] = [reference(owner)]
    middle = await site.cluster.apply(child)
    grandchild = config_map(site, "grandchild", k="v")
    grandchild["metadata"]["ownerReferences"] = [reference(middle)]
    await site.cluster.apply(grandchild)
    await site.cluster.apply(config_map(site, "bystander", k="v"))
    await site.delete(TRAINING, "run")
    left = [
        await site.cluster.get(CONFIG_MAP, site.namespace, name)
        for name in ("child", "grandchild", "bystander")
    ]
    assert [one is not None for one in left] == [False, False, True]


@behaviour
async def a_pod_that_is_gone_has_no_log(site: Site) -> None:
    assert await site.cluster.read_log(site.namespace, "nobody", "main", tail_lines=5) == ()
    with pytest.raises(NotFound):
        await anext(site.cluster.follow_log(site.namespace, "nobody", "main"))


@behaviour
async def a_container_that_has_not_started_has_no_log(site: Site) -> None:
    await site.cluster.apply(pod(site))
    assert await site.cluster.read_log(site.namespace, "pod", "main", tail_lines=5) == ()


@behaviour
async def a_container_that_is_not_in_the_pod_is_refused(site: Site) -> None:
    await site.cluster.apply(pod(site))
    with pytest.raises(Refused):
        await site.cluster.read_log(site.namespace, "pod", "other", tail_lines=5)


def condition(kind: str) -> Resource:
    return {
        "type": kind,
        "status": "True",
        "reason": "Tested",
        "message": "a test says so",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }


def reference(owner: Resource) -> Resource:
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }
