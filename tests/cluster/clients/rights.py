"""What roles of a cluster grant."""

import json

from cluster.harness.testcluster import OwnCluster


def granted(
    cluster: OwnCluster, kind: str, *names: str, namespace: str = ""
) -> set[tuple[str, str, str]]:
    """Verb, group and resource of everything that these Roles or ClusterRoles allow."""
    where = [f"--namespace={namespace}"] if namespace else []
    roles = [
        json.loads(cluster.kubectl("get", kind, name, *where, "--output=json")) for name in names
    ]
    return {
        (verb, group, resource)
        for role in roles
        for rule in role["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def forbidden(cluster: OwnCluster, token: str) -> set[str]:
    """The requests with this token that RBAC forbade; what admission refuses is not among them."""
    return {
        f"{event['verb']} {event['requestURI']}"
        for event in cluster.api.audited(token)
        if event["annotations"]["authorization.k8s.io/decision"] == "forbid"
    }
