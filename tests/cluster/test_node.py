"""A real node starts, and leaves nothing behind when it ends, even when it is killed."""

import os
import secrets
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from cluster.harness.processes import wait_until
from cluster.node import namespaces as node_namespaces
from cluster.node import real_node as node

TESTS = Path(__file__).parents[1]
WHY_NOT = node.why_not()

pytestmark = pytest.mark.cluster


def test_missing_programs_are_reported_with_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QINSTRUCT_SKIP_CLUSTER", raising=False)
    monkeypatch.setenv("PATH", "")
    said = node.why_not()
    assert said is not None
    assert said.startswith("a real node needs containerd: `apt-get install containerd")
    assert "runc" in said


SECONDS = str(1_000_000 + secrets.randbelow(1_000_000))
"""How long the pod sleeps; a random number, to tell it from the pods of other tests."""

ONE_POD = """
import sys
import time
from cluster.node.real_node import RealCluster
from cluster.node.images import BASE

cluster = RealCluster.start()
pod = ("run", "one", f"--image={BASE}", "--restart=Never", "--command", "--")
cluster.kubectl(*pod, "sleep", sys.argv[1])
cluster.kubectl("wait", "pod/one", "--for=condition=Ready", "--timeout=60s")
print(cluster.namespaces.pid, cluster.folder, flush=True)
time.sleep(600)
"""


def traces(pid: str, folder: str) -> set[str]:
    """What is left of a node."""
    commands = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # ended since
            commands.append(file.read_text("utf-8", errors="replace"))
    cgroups = Path("/sys/fs/cgroup")
    found = {
        "namespaces": Path("/proc", pid).exists(),
        "pod": f"sleep\0{SECONDS}\0" in commands,
        "program": any(folder in command for command in commands),
        "mount": folder in Path("/proc/self/mounts").read_text("utf-8"),
        "interface": Path(f"/sys/class/net/qi{pid}").exists(),
        "cgroup": any(any(cgroups.glob(f"{level}qinstruct-node-{pid}")) for level in ("", "*/")),
    }
    return {name for name, is_there in found.items() if is_there}


@pytest.mark.slow
@pytest.mark.timeout(3600)  # where nothing is built yet, it builds the cluster's programs
@pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or "")
def test_a_killed_node_leaves_nothing_that_runs_or_is_mounted() -> None:
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    command = [sys.executable, "-c", ONE_POD, SECONDS]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as harness:
        assert harness.stdout
        pid, folder = harness.stdout.readline().split()
        assert traces(pid, folder) == {"namespaces", "pod", "program", "interface", "cgroup"}
        harness.kill()
    wait_until(lambda: traces(pid, folder) == {"cgroup"}, "the rest of the node is gone")
    node_namespaces.remove_cgroups()  # as the next node does
    assert not traces(pid, folder)
    shutil.rmtree(folder)
