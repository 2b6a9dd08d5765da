"""The README's commands for a cluster, run as they stand, one after the other."""

import os
import subprocess
from pathlib import Path

import pytest

from cluster.clients.installed_chart import InstalledChart
from cluster.clients.runs import STEP, lines, runs_of
from cluster.harness.kwok import Behaviour
from cluster.harness.programs import program
from cluster.harness.testcluster import TestCluster
from support.readme import ROOT, shell_blocks

pytestmark = pytest.mark.cluster

RUN = "run-13b-after"


def test_the_commands_for_a_cluster(stock_cluster: TestCluster, tmp_path: Path) -> None:
    (commands,) = [block for block in shell_blocks() if any("kubectl" in line for line in block)]
    install, *further = commands
    assert "STATUS: deployed" in run(stock_cluster, install)
    chart = InstalledChart(stock_cluster, tmp_path)
    said = []
    with chart.operator(), runs_of(stock_cluster, "default") as runs:
        logs = lines({**STEP, "step": 430})
        runs.behave(RUN, "train", Behaviour(run_for="100h"), logs=logs)
        for command in further:
            if "get qit" in command:
                runs.wait_phase(RUN, "Training")
            said.append(run(stock_cluster, command))
    applied, table, status, log, plan, deleted = said
    assert f"{RUN} created" in applied
    row = table.splitlines()[1].split()
    assert row[:7] == [RUN, "13B", "after", "Training", "43%", "2h15m", "1"]
    assert "Training" in status
    assert "step 430" in log
    assert "gpu-80-0" in plan
    assert "deleted" in deleted


def run(cluster: TestCluster, command: str) -> str:
    """What a command of the README prints, in a shell whose cluster is the test's."""
    folders = [str(program(name).parent) for name in ("kubectl", "helm")]
    path = os.pathsep.join([*folders, os.environ["PATH"]])
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
