"""The contract of `port.Cluster`, part one: reading and writing objects."""

import copy

import pytest

from qinstruct_operator.cluster.errors import Conflict, NotFound, Refused, UnknownKind
from qinstruct_operator.cluster.port import Resource
from qinstruct_operator.kinds import CLAIM, CONFIG_MAP, EVENT, JOB
from support.port_contract.target import (
    ABSENT_IN_GROUP,
    ABSENT_KIND,
    Target,
    behaviour,
    config_map,
    event,
    found,
    job,
    names,
    pytorchjob,
    reference,
    training,
    version,
)

# Reading.


@behaviour
async def an_absent_object_is_none(target: Target) -> None:
    assert await target.cluster.get(CONFIG_MAP, target.namespace, "nobody") is None


@behaviour
async def an_object_of_a_kind_that_is_not_installed_is_not_known_to_be_absent(
    target: Target,
) -> None:
    """Neither of an unknown group, nor of a group of which another kind is known."""
    for kind in (ABSENT_KIND, ABSENT_IN_GROUP):
        with pytest.raises(UnknownKind) as caught:
            await target.cluster.get(kind, target.namespace, "nobody")
        assert caught.value.status == 404


@behaviour
async def a_name_reaches_no_other_object(target: Target) -> None:
    await target.cluster.apply(config_map(target, "a", k="v"))
    for name in ("", ".", "..", "../a", "./a", "a/../a", "a?x=y", "a#b", "%61"):
        assert await target.cluster.get(CONFIG_MAP, target.namespace, name) is None, name


@behaviour
async def a_list_of_a_kind_that_is_not_installed_is_not_empty(target: Target) -> None:
    for kind in (ABSENT_KIND, ABSENT_IN_GROUP):
        with pytest.raises(UnknownKind) as caught:
            await target.cluster.list(kind, target.namespace)
        assert caught.value.status == 404


@behaviour
async def an_object_of_a_kind_that_is_not_installed_is_not_created(target: Target) -> None:
    manifest = config_map(target) | {"apiVersion": ABSENT_KIND.api_version, "kind": "Absent"}
    with pytest.raises(UnknownKind):
        await target.cluster.create(manifest)


@behaviour
async def a_list_holds_the_objects_of_its_namespace(target: Target) -> None:
    for name in ("b", "a"):
        await target.cluster.apply(config_map(target, name, k=name))
    mine = await target.cluster.list(CONFIG_MAP, target.namespace)
    everywhere = await target.cluster.list(CONFIG_MAP, None)
    assert [name for name in names(mine) if name in ("a", "b")] == ["a", "b"]
    assert all(one["apiVersion"] == "v1" and one["kind"] == "ConfigMap" for one in mine)
    assert await found(target, CONFIG_MAP, "a") in everywhere
    assert await target.cluster.list(CONFIG_MAP, f"{target.namespace}-not") == ()


@behaviour
async def a_list_by_labels_matches_all_of_them(target: Target) -> None:
    labels = {"neither": {}, "one": {"test.example/run": "x"}}
    labels["both"] = {"test.example/run": "x", "part": "y"}
    labels["wrong"] = {"test.example/run": "x", "part": "z"}
    for name, wanted in labels.items():
        manifest = config_map(target, name)
        manifest["metadata"]["labels"] = wanted
        await target.cluster.apply(manifest)
    some = await target.cluster.list(CONFIG_MAP, target.namespace, labels=labels["one"])
    both = await target.cluster.list(CONFIG_MAP, target.namespace, labels=labels["both"])
    assert (names(some), names(both)) == (["both", "one", "wrong"], ["both"])


@behaviour
async def a_list_by_fields_matches_all_of_them(target: Target) -> None:
    for manifest in (
        event(target, "e1", "a", "Warning"),
        event(target, "e2", "b", "Warning"),
        event(target, "e3", "a", "Normal"),
    ):
        assert await target.cluster.create(manifest)
    about = {"involvedObject.name": "a", "involvedObject.kind": "Pod"}
    all_about = await target.cluster.list(EVENT, target.namespace, fields=about)
    warnings = await target.cluster.list(
        EVENT, target.namespace, fields=about | {"type": "Warning"}
    )
    named = await target.cluster.list(EVENT, target.namespace, fields={"metadata.name": "e2"})
    assert (names(all_about), names(warnings), names(named)) == (["e1", "e3"], ["e1"], ["e2"])


@behaviour
async def a_field_value_is_escaped(target: Target) -> None:
    await target.cluster.create(event(target, "e1", "a"))
    for value in ("a,type=Warning", "a\\", "="):
        fields = {"involvedObject.name": value}
        assert await target.cluster.list(EVENT, target.namespace, fields=fields) == ()


@behaviour
async def a_list_by_a_field_without_an_index_is_refused(target: Target) -> None:
    with pytest.raises(Refused) as caught:
        await target.cluster.list(CONFIG_MAP, target.namespace, fields={"data.k": "v"})
    assert caught.value.status == 400


# Writing.


@behaviour
async def apply_creates(target: Target) -> None:
    made = await target.cluster.apply(config_map(target, k="v"))
    assert made["data"] == {"k": "v"}
    assert made["metadata"].keys() >= {"uid", "resourceVersion", "creationTimestamp"}
    assert made == await found(target, CONFIG_MAP, "notes")


@behaviour
async def apply_again_changes_nothing(target: Target) -> None:
    for manifest in (config_map(target, k="v"), training(target)):
        once = await target.cluster.apply(copy.deepcopy(manifest))
        assert await target.cluster.apply(manifest) == once
    for manifest in (
        job(target),
        pytorchjob(target),
    ):  # whose status a controller may write meanwhile
        once = await target.cluster.apply(copy.deepcopy(manifest))
        again = await target.cluster.apply(manifest)
        assert again["spec"] == once["spec"]
        assert again["metadata"]["generation"] == 1


@behaviour
async def apply_changes_a_value(target: Target) -> None:
    once = await target.cluster.apply(config_map(target, k="old", l="same"))
    again = await target.cluster.apply(config_map(target, k="new", l="same"))
    assert again["data"] == {"k": "new", "l": "same"}
    assert version(once) != version(again)
    assert once["metadata"]["uid"] == again["metadata"]["uid"]


@behaviour
async def apply_removes_what_is_no_longer_applied(target: Target) -> None:
    await target.cluster.apply(config_map(target, k="v", gone="v"))
    assert (await target.cluster.apply(config_map(target, k="v")))["data"] == {"k": "v"}


@behaviour
async def apply_leaves_the_fields_of_other_managers(target: Target) -> None:
    await target.cluster.apply(config_map(target, k="v"))
    theirs = config_map(target, other="v")
    theirs["metadata"]["labels"] = {"theirs": "yes"}
    await target.other.apply(theirs)
    after = await target.cluster.apply(config_map(target, k="w"))
    assert after["data"] == {"k": "w", "other": "v"}
    assert after["metadata"]["labels"] == {"theirs": "yes"}


@behaviour
async def apply_leaves_fields_that_are_shared_with_other_managers(target: Target) -> None:
    await target.cluster.apply(config_map(target, k="v", shared="v"))
    await target.other.apply(config_map(target, shared="v"))
    assert (await target.cluster.apply(config_map(target, k="v")))["data"]["shared"] == "v"
    assert "shared" not in (await target.other.apply(config_map(target))).get("data", {})


@behaviour
async def apply_takes_fields_from_other_managers(target: Target) -> None:
    await target.other.apply(config_map(target, k="theirs", l="theirs"))
    mine = await target.cluster.apply(config_map(target, k="mine"))
    assert mine["data"] == {"k": "mine", "l": "theirs"}
    theirs = await target.other.apply(config_map(target))
    assert theirs["data"] == {"k": "mine"}, "what was taken is no longer theirs to remove"


@behaviour
async def a_field_taken_from_another_manager_is_removed_with_ours(target: Target) -> None:
    await target.other.apply(config_map(target, k="theirs", l="theirs"))
    await target.cluster.apply(config_map(target, k="mine"))
    assert (await target.cluster.apply(config_map(target)))["data"] == {"l": "theirs"}


@behaviour
async def apply_replaces_a_list(target: Target) -> None:
    manifest = pytorchjob(target)
    container = manifest["spec"]["pytorchReplicaSpecs"]["Master"]["template"]["spec"]["containers"][
        0
    ]
    for command in (["a", "b", "c"], ["c", "a"]):
        container["command"] = command
        after = await target.cluster.apply(copy.deepcopy(manifest))
        master = after["spec"]["pytorchReplicaSpecs"]["Master"]
        assert master["template"]["spec"]["containers"][0]["command"] == command


@behaviour
async def apply_adds_an_owner_to_those_of_other_managers(target: Target) -> None:
    owners = [await target.cluster.apply(config_map(target, name, k=name)) for name in ("o1", "o2")]
    for cluster, owner in zip((target.other, target.cluster), owners, strict=True):
        manifest = config_map(target, k="v")
        manifest["metadata"]["ownerReferences"] = [reference(owner)]
        child = await cluster.apply(manifest)
    kept = {one["name"] for one in child["metadata"]["ownerReferences"]}
    assert kept == {"o1", "o2"}


@behaviour
async def apply_ignores_the_status(target: Target) -> None:
    manifest = training(target) | {"status": {"observedGeneration": 7}}
    assert "status" not in await target.cluster.apply(manifest)


@behaviour
async def generation_counts_changes_of_the_spec(target: Target) -> None:
    made = await target.cluster.apply(training(target))
    labelled = training(target)
    labelled["metadata"]["labels"]["more"] = "yes"
    relabelled = await target.cluster.apply(labelled)
    labelled["spec"]["suspend"] = True
    changed = await target.cluster.apply(labelled)
    written = await target.cluster.replace_status(changed, {"observedGeneration": 2})
    generations = [one["metadata"]["generation"] for one in (made, relabelled, changed, written)]
    assert generations == [1, 1, 2, 2]


@behaviour
async def the_pod_template_of_a_job_cannot_be_changed(target: Target) -> None:
    before = await target.cluster.apply(job(target))
    with pytest.raises(Refused) as caught:
        await target.cluster.apply(job(target, image="example/prep:2"))
    assert caught.value.status == 422
    assert "spec.template" in str(caught.value)
    assert "immutable" in str(caught.value)
    assert (await found(target, JOB, "prep"))["spec"] == before["spec"]


@behaviour
async def the_retries_of_a_job_can_be_changed(target: Target) -> None:
    await target.cluster.apply(job(target))
    manifest = job(target)
    manifest["spec"]["backoffLimit"] = 5
    assert (await target.cluster.apply(manifest))["spec"]["backoffLimit"] == 5


@behaviour
async def the_pod_template_of_a_pytorchjob_can_be_changed(target: Target) -> None:
    await target.cluster.apply(pytorchjob(target))
    after = await target.cluster.apply(pytorchjob(target, image="example/trainer:2"))
    master = after["spec"]["pytorchReplicaSpecs"]["Master"]
    assert master["template"]["spec"]["containers"][0]["image"] == "example/trainer:2"


@behaviour
async def a_claim_cannot_be_changed(target: Target) -> None:
    def claim(size: str) -> Resource:
        return {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "claim", "namespace": target.namespace},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "resources": {"requests": {"storage": size}},
            },
        }

    await target.cluster.apply(claim("2Gi"))
    with pytest.raises(Refused) as caught:
        await target.cluster.apply(claim("3Gi"))
    assert caught.value.status == 422
    assert (await found(target, CLAIM, "claim"))["spec"]["resources"]["requests"][
        "storage"
    ] == "2Gi"


@behaviour
async def an_immutable_config_map_cannot_be_changed(target: Target) -> None:
    await target.cluster.apply(config_map(target, k="v") | {"immutable": True})
    for changed in (config_map(target, k="w") | {"immutable": True}, config_map(target, k="v")):
        with pytest.raises(Refused):
            await target.cluster.apply(changed)


@behaviour
async def an_invalid_name_is_refused(target: Target) -> None:
    for name in ("Upper", "under_score", "-x", "x" * 254):
        with pytest.raises(Refused) as caught:
            await target.cluster.apply(config_map(target, name))
        assert caught.value.status == 422


@behaviour
async def a_patch_changes_what_it_has_alone(target: Target) -> None:
    manifest = config_map(target, k="v", l="v", gone="v")
    manifest["metadata"]["annotations"] = {"kept": "yes", "gone": "yes"}
    before = await target.cluster.apply(manifest)
    after = await target.cluster.patch(patch_of(before, {"k": "w", "gone": None}))
    assert after["data"] == {"k": "w", "l": "v"}
    assert after["metadata"]["annotations"] == {"kept": "yes"}
    assert await found(target, CONFIG_MAP, "notes") == after


@behaviour
async def a_patch_needs_the_version_that_it_has(target: Target) -> None:
    before = await target.cluster.apply(config_map(target, k="v"))
    await target.other.patch(patch_of(before, {"k": "theirs"}))
    with pytest.raises(Conflict):
        await target.cluster.patch(patch_of(before, {"k": "ours"}))
    assert (await found(target, CONFIG_MAP, "notes"))["data"] == {"k": "theirs"}


@behaviour
async def what_is_gone_is_not_patched(target: Target) -> None:
    before = await target.cluster.apply(config_map(target, k="v"))
    await target.delete(CONFIG_MAP, "notes")
    with pytest.raises(NotFound):
        await target.cluster.patch(patch_of(before, {"k": "w"}))
    assert await target.cluster.get(CONFIG_MAP, target.namespace, "notes") is None


def patch_of(read: Resource, data: dict[str, str | None]) -> Resource:
    """A patch of a ConfigMap as it was read, that takes an annotation away too."""
    meta = {key: read["metadata"][key] for key in ("name", "namespace", "resourceVersion")}
    head = {"apiVersion": "v1", "kind": "ConfigMap"}
    return {**head, "metadata": meta | {"annotations": {"gone": None}}, "data": data}


@behaviour
async def create_leaves_an_existing_object_alone(target: Target) -> None:
    assert await target.cluster.create(config_map(target, k="first"))
    once = await found(target, CONFIG_MAP, "notes")
    assert not await target.cluster.create(config_map(target, k="second"))
    assert await found(target, CONFIG_MAP, "notes") == once


@behaviour
async def created_fields_survive_an_apply(target: Target) -> None:
    await target.cluster.create(config_map(target, k="v"))
    await target.cluster.apply(config_map(target, k="v", l="v"))
    assert (await target.cluster.apply(config_map(target)))["data"] == {"k": "v"}
