"""The Job of a cache on a real API server, in a namespace that refuses what is not restricted."""

import json

import pytest
import yaml

from cluster.harness.testcluster import TestCluster
from qinstruct_operator.cli import main

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize("command", ["ls", "verify", "prune --unused=30d"])
def test_the_job_and_its_pod_are_accepted(
    command: str, test_cluster: TestCluster, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command, *options = command.split()
    assert main(["cache", "job", command, "-n", namespace, *options]) == 0
    text = capsys.readouterr().out
    strict = ("--dry-run=server", "--validate=strict", "-f", "-")
    made = test_cluster.kubectl("create", *strict, stdin=text)
    assert made == f"job.batch/qinstruct-cache-{command} created (server dry run)\n"

    # Of a Job the server only warns: the pod is what it would refuse.
    template = yaml.safe_load(text)["spec"]["template"]
    metadata = template["metadata"] | {"name": "x", "namespace": namespace}
    pod = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": metadata}
    said = test_cluster.kubectl("create", *strict, stdin=json.dumps(pod))
    assert said == "pod/x created (server dry run)\n"
