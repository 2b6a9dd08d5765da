"""The contract of `port.Cluster`, first part: reading and writing objects."""

import copy

import pytest

from qinstruct_operator.cluster.port import Resource
from qinstruct_operator.errors import NotFound, Refused
from qinstruct_operator.kinds import CLAIM, CONFIG_MAP, EVENT, JOB
from support.port_contract.target import (
    ABSENT_KIND,
    Site,
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
async def what_was_taken_from_others_goes_with_us(site: Site) -> None:
    await site.other.apply(config_map(site, k="theirs", l="theirs"))
    await site.cluster.apply(config_map(site, k="mine"))
    assert (await site.cluster.apply(config_map(site)))["data"] == {"l": "theirs"}


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
async def the_retries_of_a_job_can_be_changed(site: Site) -> None:
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
