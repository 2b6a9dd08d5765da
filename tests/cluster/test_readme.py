"""The README's commands for a cluster, run as they stand, one after the other."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from cluster.clients.operator_process import Operator
from cluster.clients.runs import STEP, Runs, lines
from cluster.clients.watch import open_watch
from cluster.harness.kwok import Behaviour
from cluster.harness.programs import program
from cluster.harness.testcluster import TestCluster
from support.readme import ROOT, shell_blocks

pytestmark = pytest.mark.cluster

RUN = "run-13b-after"


@pytest.fixture
def default_runs(test_cluster: TestCluster, operator: Operator) -> Iterator[Runs]:
    """The runs of the namespace that a user gets without asking for one."""
    path = "/apis/qinstruct.dev/v1alpha1/namespaces/default/qinstructtrainings"
    with open_watch(test_cluster.api, path) as watch:
        yield Runs(test_cluster, "default", watch)
    test_cluster.kubectl("delete", "pvc", "--all", "--namespace=default", "--wait=false")


def test_the_commands_for_a_cluster(default_runs: Runs) -> None:
    (commands,) = [block for block in shell_blocks() if any("kubectl" in line for line in block)]
    logs = lines({**STEP, "step": 430})
    default_runs.behave(RUN, "train", Behaviour(run_for="100h"), logs=logs)
    said = []
    for command in commands:
        if "get qit" in command:
            default_runs.wait_phase(RUN, "Training")
        said.append(run(default_runs.cluster, command))
    _, applied, table, status, log, plan, deleted = said
    assert f"{RUN} created" in applied
    row = table.splitlines()[1].split()
    assert row[:7] == [RUN, "13B", "after", "Training", "43%", "2h15m", "1"]
    assert "Training" in status
    assert "step 430" in log
    assert "gpu-80-0" in plan
    assert "deleted" in deleted


def run(cluster: TestCluster, command: str) -> str:
    """What a command of the README prints, in a shell whose kubectl is the test cluster's."""
    path = os.pathsep.join([str(program("kubectl").parent), os.environ["PATH"]])
    done = subprocess.run(
        command,
        shell=True,
        cwd=ROOT,
        env=os.environ | {"PATH": path, "KUBECONFIG": str(cluster.api.admin_kubeconfig)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout
