"""What a run does to a volume of others: nothing until its label says so, then what we document.

On a real node, because it is the kubelet that changes a volume's files for a pod's fsGroup. It does
not for the folders of local-path-provisioner (hostPath); so these are `local` volumes.
"""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cluster.clients.operator_process import install, operator_process
from cluster.harness import needs
from cluster.harness.control_plane import NODE_NAME
from cluster.harness.processes import wait_until
from cluster.node import real_node as node
from cluster.node.pod_processes import pod_processes
from cluster.node.real_node import RealCluster
from qinstruct_operator.constants import LABEL_USE, USER_ID

WHY_NOT = node.why_not()

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or ""),
]

NAMESPACE = "team"
PAIR = "pair"
OWNER = 4242
SETGID = 0o2000


class State(NamedTuple):
    """Of a file or folder."""

    owner: int
    group: int
    mode: int
    content: bytes


def states(root: Path) -> dict[str, State]:
    """Everything below a folder, and the folder itself."""
    found = {}
    for path in (root, *sorted(root.rglob("*"))):
        stat = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        mode = stat.st_mode & 0o7777
        found[str(path.relative_to(root))] = State(stat.st_uid, stat.st_gid, mode, content)
    return found


@pytest.fixture(scope="module")
def cluster() -> Iterator[RealCluster]:
    with needs.reporting():
        started = RealCluster.start()
    try:
        kubeconfig = started.api.kubeconfig_for(install(started.api))
        with operator_process(started.folder / "operator", kubeconfig):
            started.create_namespace(NAMESPACE)
            yield started
    finally:
        started.stop()


def make_volume(cluster: RealCluster, name: str, group: int, mode: int) -> Path:
    """Somebody's volume with a file and a folder that are his alone, bound to a claim."""
    root = cluster.folder / name
    (root / "table").mkdir(parents=True)
    for path, held in ((root / "rows", b"1"), (root / "table" / "rows", b"2")):
        path.write_bytes(held)
        path.chmod(0o600)
        os.chown(path, OWNER, OWNER)
    (root / "table").chmod(0o700)
    os.chown(root / "table", OWNER, OWNER)
    os.chown(root, OWNER, group)
    root.chmod(mode)
    capacity: dict[str, Any] = {"storage": "9Ti"}
    modes = ["ReadWriteMany"]
    on_node = {"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE_NAME]}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": capacity,
            "accessModes": modes,
            "local": {"path": str(root)},
            "storageClassName": "by-hand",
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [on_node]}]}},
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "accessModes": modes,
            "resources": {"requests": capacity},
            "storageClassName": "by-hand",
            "volumeName": name,
        },
    }
    cluster.api.apply(volume, claim)
    return root


def kubectl(
    cluster: RealCluster, *arguments: str, stdin: str | None = None, namespace: str = NAMESPACE
) -> str:
    return cluster.kubectl(f"--namespace={namespace}", *arguments, stdin=stdin)


def apply_run(
    cluster: RealCluster, name: str, claim: str | None = None, namespace: str = NAMESPACE
) -> None:
    spec: dict[str, Any] = {"size": "Tiny", "strategy": "after"}
    if claim is not None:
        spec["output"] = {"claimName": claim}
    document = {
        "apiVersion": "qinstruct.dev/v1alpha1",
        "kind": "QInstructTraining",
        "metadata": {"name": name},
        "spec": spec,
    }
    kubectl(cluster, "apply", "-f", "-", stdin=json.dumps(document), namespace=namespace)


def prepared(cluster: RealCluster, name: str, field: str, namespace: str = NAMESPACE) -> str:
    """A field of the run's condition Prepared."""
    path = f'{{.status.conditions[?(@.type=="Prepared")].{field}}}'
    return kubectl(cluster, "get", "qit", name, f"--output=jsonpath={path}", namespace=namespace)


def reason(cluster: RealCluster, name: str, namespace: str = NAMESPACE) -> str:
    return prepared(cluster, name, "reason", namespace)


def prep_processes(cluster: RealCluster, name: str, namespace: str) -> list[int]:
    """Of a run's pod alone, by its cgroup: other tests prepare on this machine too."""
    selector = f"--selector=batch.kubernetes.io/job-name={name}-prep"
    path = "--output=jsonpath={.items[0].metadata.uid}"
    pod = kubectl(cluster, "get", "pods", selector, path, namespace=namespace)
    command = (b"-m", b"qinstruct_trainer", b"prep")
    return [each.pid for each in pod_processes(pod) if each.command[1:4] == command]


def allow(cluster: RealCluster, claim: str) -> None:
    """As its owner does."""
    kubectl(cluster, "label", "pvc", claim, f"{LABEL_USE}=output")


def wait_for_a_pod(cluster: RealCluster, name: str) -> None:
    """Until the kubelet has mounted its volumes and started its container."""
    path = "--output=jsonpath={.items[*].status.containerStatuses[*].started}"
    selector = f"--selector=batch.kubernetes.io/job-name={name}-prep"
    wait_until(
        lambda: "true" in kubectl(cluster, "get", "pods", selector, path),
        f"the prep pod of {name} has started",
        120,
    )


def test_an_unlabelled_volume_is_not_touched_and_a_labelled_one_changes_its_group_alone(
    cluster: RealCluster,
) -> None:
    root = make_volume(cluster, "database", OWNER, 0o750)
    before = states(root)
    apply_run(cluster, "greedy", "database")
    wait_until(lambda: reason(cluster, "greedy") == "ClaimNotAllowed", "the claim is refused", 60)
    time.sleep(5)  # in which a pod would start
    assert kubectl(cluster, "get", "pods,jobs", "--output=name") == ""
    assert states(root) == before

    allow(cluster, "database")
    wait_for_a_pod(cluster, "greedy")
    after = states(root)
    for path, was in before.items():
        now = after[path]
        assert (now.owner, now.group, now.content) == (OWNER, USER_ID, was.content), path
        more = 0o770 | SETGID if (root / path).is_dir() else 0o660
        assert now.mode == was.mode | more, path
    kubectl(cluster, "delete", "qit", "greedy")


def test_a_volume_whose_root_is_the_runs_group_already_keeps_its_files_as_they_are(
    cluster: RealCluster,
) -> None:
    """`fsGroupChangePolicy: OnRootMismatch`: what is below is not looked at."""
    root = make_volume(cluster, "given", USER_ID, 0o770 | SETGID)
    before = states(root)
    allow(cluster, "given")
    apply_run(cluster, "guest", "given")
    wait_for_a_pod(cluster, "guest")
    after = states(root)
    assert {path: after[path] for path in before} == before
    kubectl(cluster, "delete", "qit", "guest")


def test_of_two_runs_at_once_one_prepares_and_the_other_says_for_whom_it_waits(
    cluster: RealCluster,
) -> None:
    cluster.create_namespace(PAIR)  # with a cache of its own, in which nothing is prepared
    units = f"*_{PAIR}_*/units"
    volumes = cluster.folder / "volumes"
    apply_run(cluster, "first", namespace=PAIR)
    wait_until(lambda: any(volumes.glob(f"{units}/.leases/fetch-*")), "first has a lease", 120)
    processes = prep_processes(cluster, "first", PAIR)
    assert processes
    for process in processes:  # so that its unit takes long, but not until it is taken over
        os.kill(process, signal.SIGSTOP)
    try:
        apply_run(cluster, "second", namespace=PAIR)
        waits = "WaitingForRun"
        wait_until(lambda: reason(cluster, "second", PAIR) == waits, "second waits", 50)
        said = prepared(cluster, "second", "message", PAIR)
        assert said.startswith("run first builds what")
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)
    wait_until(lambda: reason(cluster, "first", PAIR) == "Prepared", "first is ready", 180)
    wait_until(lambda: reason(cluster, "second", PAIR) == "Prepared", "second is ready", 180)
    assert len([*volumes.glob(f"{units}/fetch-*")]) == 1
    said = kubectl(cluster, "logs", "job/second-prep", namespace=PAIR)
    assert '"stage":"fetch"' in said
    assert "cached" in said
