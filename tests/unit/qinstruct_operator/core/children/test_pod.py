"""What both pods share: Pod Security "restricted", a writable scratch folder, the volumes."""

from pathlib import PurePosixPath
from typing import Any

import pytest

from qinstruct_operator.catalog.sizes import Requests
from qinstruct_operator.constants import PREP_CONTAINER
from qinstruct_operator.core.children.pod import (
    container_security,
    environment,
    pod_security,
    volume_mounts,
    volumes,
)
from qinstruct_operator.core.judge.pods import read_pod
from support.operator_documents import document, plan

PLAN = plan(document())
REQUESTS = Requests(cpu="1", memory="4Gi", shared_memory="1Gi", scratch="2Gi")


def test_pods_pass_pod_security_restricted() -> None:
    pod, container = pod_security(), container_security()
    assert pod["runAsNonRoot"]
    assert pod["runAsUser"] == pod["runAsGroup"] == pod["fsGroup"] != 0
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not container["allowPrivilegeEscalation"]
    assert container["capabilities"] == {"drop": ["ALL"]}


def test_every_cache_is_on_the_scratch_volume() -> None:
    assert container_security()["readOnlyRootFilesystem"]
    scratch = mounts(fills_cache=False)["scratch"]["mountPath"]
    paths = [path for each in environment() if (path := each.get("value", "")).startswith("/")]
    assert len(paths) > 1
    assert all(PurePosixPath(path).is_relative_to(scratch) for path in paths)


def test_a_container_is_told_its_pods_uid_under_a_name_that_its_reader_knows() -> None:
    told = {"env": environment(), "name": PREP_CONTAINER}
    raw = {"metadata": {"name": "x", "uid": "uid-x"}, "spec": {"containers": [{}, told]}}
    assert read_pod(raw).writer == "uid-x"
    (variable,) = (each for each in environment() if "valueFrom" in each)
    assert variable["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.uid"}}


def test_every_mount_has_a_volume_of_the_planned_size_or_claim() -> None:
    found = {each["name"]: each for each in volumes(PLAN, REQUESTS)}
    assert set(mounts(fills_cache=True)) == set(found)
    assert found["config"]["configMap"] == {"name": "x-config"}
    assert found["cache"]["persistentVolumeClaim"] == {"claimName": "qinstruct-cache"}
    assert found["output"]["persistentVolumeClaim"] == {"claimName": "x-output"}
    assert found["scratch"]["emptyDir"] == {"sizeLimit": "2Gi"}
    assert found["shared-memory"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "1Gi"}


@pytest.mark.parametrize("fills_cache", [True, False])
def test_only_prep_writes_to_the_shared_cache(fills_cache: bool) -> None:
    read_only = {name for name, mount in mounts(fills_cache).items() if mount.get("readOnly")}
    assert read_only == {"config"} | (set() if fills_cache else {"cache"})


def mounts(fills_cache: bool) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in volume_mounts(PLAN, fills_cache=fills_cache)}
