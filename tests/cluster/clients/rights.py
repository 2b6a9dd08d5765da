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
    """What RBAC forbade to this token each time that it was asked for, e.g. `get pods/log`.

    What was allowed at another time was granted: a test takes rights away for a while, and a server
    that has just started knows no roles yet. What admission refuses is not among them.
    """
    asked: dict[str, set[str]] = {}
    for event in cluster.api.audited(token):
        target = event.get("objectRef", {})
        names = [target[key] for key in ("resource", "subresource") if key in target]
        what = f"{event['verb']} {'/'.join(names) or event['requestURI']}"
        asked.setdefault(what, set()).add(event["annotations"]["authorization.k8s.io/decision"])
    return {what for what, decisions in asked.items() if "allow" not in decisions}
