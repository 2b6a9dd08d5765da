"""The claims of a run: whose they are, and which are created."""

import pytest

from qinstruct_operator.api import parse
from qinstruct_operator.core import names
from qinstruct_operator.core.plan.make import make_plan
from qinstruct_operator.settings import Settings
from support.operator_documents import UID, document, plan
from support.operator_documents import manifests as manifests_of


def test_tiny_with_real_data_shares_the_real_cache() -> None:
    sources = {"q-instruct-labels": {"url": "http://h/l.json"}, "q-instruct-images": {}}
    made = plan(document(size="Tiny", data={"sources": sources}))
    assert [source.kind for source in made.prep_config.sources] == ["labels", "images"]
    assert made.cache_claim.name == names.CACHE_CLAIM


def test_own_claims_are_used_and_not_created() -> None:
    made = plan(document(data={"claimName": "cache"}, output={"claimName": "out"}))
    manifests = manifests_of(made)
    assert [manifest["kind"] for manifest in manifests] == ["ConfigMap", "Job", "PyTorchJob"]
    volumes = manifests[1]["spec"]["template"]["spec"]["volumes"]
    claims = [
        v["persistentVolumeClaim"]["claimName"]
        for v in volumes
        if len(v) == 2 and "persistentVolumeClaim" in v
    ]
    assert claims == ["cache", "out"]


@pytest.mark.parametrize("retain", [True, False])
def test_owner_references(retain: bool) -> None:
    raw = document(output={"retain": retain})
    raw["metadata"] |= {"uid": UID, "namespace": "team"}
    manifests = manifests_of(make_plan(parse(raw), Settings()))
    owned = {m["metadata"]["name"]: "ownerReferences" in m["metadata"] for m in manifests}
    assert owned == {
        "x-config": True,
        "qinstruct-cache": False,
        "x-output": not retain,
        "x-prep": True,
        "x-1": True,
    }
    assert {m["metadata"]["namespace"] for m in manifests} == {"team"}
