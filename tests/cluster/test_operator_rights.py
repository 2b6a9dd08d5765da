"""The ClusterRoles grant exactly the requests that the operator makes: here, no verb more.

That none is missing is asked in every module, when its operator ends (`operator` in conftest.py).
In a module of its own, because the audit log is compared with everything that one operator has
done: no other test may share that operator.
"""

import pytest

from cluster.clients.rights import granted
from cluster.clients.runs import FOR_EVER, Runs
from cluster.harness.kwok import Behaviour
from cluster.harness.testcluster import TestCluster

pytestmark = pytest.mark.cluster


def test_the_role_grants_exactly_what_is_used(
    test_cluster: TestCluster, operator_token: str, runs: Runs
) -> None:
    """A whole run, waits and a failure, then the audit log against the ClusterRoles."""
    runs.behave("bad", "prep", Behaviour(exit_code=65))
    runs.behave("whole", "prep", Behaviour(run_for="3s"))
    runs.apply("whole", {"size": "7B", "strategy": "after"})
    runs.wait_phase("whole", "Preparing")
    edit = '--patch={"spec":{"checkpoint":{"everyMinutes":7}}}'  # its ConfigMap is applied again
    runs.kubectl("patch", "qit", "whole", "--type=merge", edit)
    runs.apply("bad", {"size": "7B", "strategy": "after"})
    held = {"nodeSelector": {"rack": "nowhere"}}
    runs.apply("held", {"size": "7B", "strategy": "after", "scheduling": held})
    # Only events say why this one waits; the others may be over before events are asked for.
    runs.apply("dry", {"size": "7B", "strategy": "after", "output": {"storageClassName": "none"}})
    runs.wait_phase("whole", "Complete")
    runs.wait_phase("bad", "Failed")
    runs.wait_phase("held", "Unschedulable")
    runs.behave("stopped", "prep", FOR_EVER)
    runs.apply("stopped", {"size": "7B", "strategy": "after"})
    runs.wait_phase("stopped", "Preparing")
    for name in ("held", "stopped"):
        runs.kubectl("patch", "qit", name, "--type=merge", '--patch={"spec":{"suspend":true}}')
        runs.wait_phase(name, "Suspended")
    runs.wait_phase("dry", "ClaimPending")
    names = ("qinstruct-operator", "qinstruct-operator-nodes")
    rights = granted(test_cluster, "clusterrole", *names)
    # Server-side apply is audited as a patch, but needs the right to create as well.
    applied = {("create", "", "configmaps")}
    used = test_cluster.api.audit_requests(operator_token)
    assert used - rights == set()
    assert rights - used - applied == set()
