"""The volume claims of a run: which are created, how large, and which go with the run."""

from dataclasses import replace

from qinstruct_operator.core.children.claims import build_cache_claim, build_output_claim
from qinstruct_operator.core.plan.types import Owner
from support.operator_documents import document, plan
from support.operator_documents import manifests as manifests_of


def test_own_claims_are_used_and_not_created() -> None:
    made = plan(document(data={"claimName": "cache"}, output={"claimName": "out"}))
    assert (build_cache_claim(made), build_output_claim(made)) == (None, None)
    manifests = manifests_of(made)
    assert [manifest["kind"] for manifest in manifests] == ["ConfigMap", "Job", "PyTorchJob"]
    volumes = manifests[1]["spec"]["template"]["spec"]["volumes"]
    claims = [
        v["persistentVolumeClaim"]["claimName"]
        for v in volumes
        if len(v) == 2 and "persistentVolumeClaim" in v
    ]
    assert claims == ["cache", "out"]


def test_a_claim_asks_for_what_the_plan_says() -> None:
    made = plan(document(output={"size": "500Gi", "storageClassName": "nfs"}))
    claim = build_output_claim(made)
    assert claim
    assert claim["metadata"]["name"] == "x-output"
    assert claim["spec"] == {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": "500Gi"}},
        "storageClassName": "nfs",
    }
    cache = build_cache_claim(made)
    assert cache
    assert "storageClassName" not in cache["spec"]  # the cluster's default


def test_the_cache_belongs_to_no_run() -> None:
    made = replace(plan(document()), owner=Owner("x", "1"))
    cache = build_cache_claim(made)
    assert cache
    assert "ownerReferences" not in cache["metadata"]
    assert "qinstruct.dev/run" not in cache["metadata"]["labels"]
