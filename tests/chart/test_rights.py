"""Who the operator is and what it may do: in the whole cluster, or in some namespaces alone."""

from typing import Any, Final

import pytest

from support.helm_chart import (
    Manifest,
    Values,
    of_kind,
    operator_container,
    render,
    without_tests,
)

pytestmark = pytest.mark.cluster

RIGHTS: Final = ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
NAMESPACED: Final = {"watchNamespaces": ["team-a", "team-b"]}


def rules(manifests: list[Manifest], kind: str, name: str) -> list[Any]:
    return [one["rules"] for one in of_kind(manifests, kind) if one["metadata"]["name"] == name]


def test_the_whole_cluster_is_served_with_two_cluster_roles() -> None:
    made = of_kind(render(), *RIGHTS)
    assert {(one["kind"], one["metadata"]["name"]) for one in made} == {
        (kind, name)
        for kind in ("ClusterRole", "ClusterRoleBinding")
        for name in ("qinstruct-operator", "qinstruct-operator-nodes")
    }
    for one in of_kind(made, "ClusterRoleBinding"):
        assert one["roleRef"]["name"] == one["metadata"]["name"]


def test_namespaces_are_served_with_the_same_rules_in_roles_alone() -> None:
    made = render(values=NAMESPACED)
    assert {one["kind"] for one in of_kind(made, *RIGHTS)} == {"Role", "RoleBinding"}
    assert {one["metadata"]["namespace"] for one in of_kind(made, *RIGHTS)} == {"team-a", "team-b"}
    for one in of_kind(made, "RoleBinding"):
        assert (one["roleRef"]["kind"], one["roleRef"]["name"]) == ("Role", "qinstruct-operator")
    (everywhere,) = rules(render(), "ClusterRole", "qinstruct-operator")
    assert rules(made, "Role", "qinstruct-operator") == [everywhere] * 2


@pytest.mark.parametrize("values", [{}, NAMESPACED])
def test_nothing_may_be_deleted_and_no_rule_has_a_wildcard(values: dict[str, Any]) -> None:
    for role in of_kind(render(values=values), "ClusterRole", "Role"):
        for rule in role["rules"]:
            assert "delete" not in rule["verbs"]
            assert "*" not in [*rule["verbs"], *rule["resources"], *rule["apiGroups"]]


def test_the_operator_watches_what_it_may() -> None:
    assert "--all-namespaces" in operator_container(render())["command"]
    command = operator_container(render(values=NAMESPACED))["command"]
    assert "--all-namespaces" not in command
    assert [one for one in command if one.startswith("--namespace")] == [
        "--namespace=team-a",
        "--namespace=team-b",
    ]


@pytest.mark.parametrize("values", [{}, NAMESPACED])
def test_an_administrator_may_make_the_roles(values: dict[str, Any]) -> None:
    assert of_kind(render("--set=rbac.create=false", values=values), *RIGHTS) == []


def test_nothing_of_the_cluster_is_needed_where_an_administrator_has_made_it() -> None:
    made = without_tests(
        render(
            "--set=crds.install=false,admissionPolicy.enabled=false",
            values=NAMESPACED,
        )
    )
    assert [one["metadata"]["name"] for one in made if "namespace" not in one["metadata"]] == []


@pytest.mark.parametrize(
    ("arguments", "account"),
    [
        ((), "qinstruct-operator"),
        (("--set=fullnameOverride=tuner",), "tuner"),
        (("--set=serviceAccount.name=builder.x",), "builder.x"),
        (("--set=serviceAccount.create=false,serviceAccount.name=old",), "old"),
    ],
)
def test_account_bindings_and_admission_policy_name_the_same(
    arguments: tuple[str, ...], account: str
) -> None:
    made = render(*arguments)
    (deployment,) = of_kind(made, "Deployment")
    assert deployment["spec"]["template"]["spec"]["serviceAccountName"] == account
    accounts = [one["metadata"]["name"] for one in of_kind(made, "ServiceAccount")]
    assert accounts == ([] if "create=false" in str(arguments) else [account])
    for binding in of_kind(made, "ClusterRoleBinding"):
        (subject,) = binding["subjects"]
        assert (subject["name"], subject["namespace"]) == (account, "qinstruct-system")
    (policy,) = of_kind(made, "ValidatingAdmissionPolicy")
    (condition,) = policy["spec"]["matchConditions"]
    assert f":{account.replace('.', '[.]')}$" in condition["expression"]


def test_two_releases_share_no_object() -> None:
    """But the CRD, which one of them must leave to the other."""
    names = [
        {
            (one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"])
            for one in render(
                f"--set=fullnameOverride={name},crds.install=false,gpuCap.enabled=true",
                values=NAMESPACED,
            )
        }
        for name in ("one", "two")
    ]
    assert {each for each in names[0] & names[1] if "default-deny" not in each[2]} == set()


@pytest.mark.parametrize(
    ("values", "bound"),
    [
        ({}, "system:serviceaccount:[^:]+:qinstruct-operator$"),
        (
            {"serviceAccount": {"create": False, "name": "default"}},
            "system:serviceaccount:qinstruct-system:default$",
        ),
        ({"serviceAccount": {"name": "a.b"}}, "system:serviceaccount:qinstruct-system:a[.]b$"),
    ],
)
def test_the_policy_binds_nobody_else_s_account(values: Values, bound: str) -> None:
    policy = next(
        one
        for one in of_kind(render(values=values), "ValidatingAdmissionPolicy")
        if one["metadata"]["name"] == "qinstruct-operator"
    )
    (condition,) = policy["spec"]["matchConditions"]
    assert f'matches("^{bound}")' in condition["expression"]
