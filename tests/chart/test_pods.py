"""The operator's pod and that of `helm test`: images, security, where they run."""

from typing import Any, Final

import pytest

from support.helm_chart import Manifest, of_kind, operator_container, render

pytestmark = pytest.mark.cluster

DIGEST: Final = "sha256:" + "ab" * 32


def images(manifests: list[Manifest]) -> dict[str, str]:
    container = operator_container(manifests)
    variables = {one["name"]: one["value"] for one in container["env"]}
    return {
        "operator": container["image"],
        "prep": variables["QINSTRUCT_PREP_IMAGE"],
        "trainer": variables["QINSTRUCT_TRAINER_IMAGE"],
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"tag": "2.0"},
            {name: f"ghcr.io/qinstruct/{name}:2.0" for name in ("operator", "prep", "trainer")},
        ),
        (
            {
                "registry": "localhost:5000/x",
                "tag": "8",
                "trainer": {"repository": "cu13/train", "tag": "9"},
            },
            {
                "operator": "localhost:5000/x/operator:8",
                "prep": "localhost:5000/x/prep:8",
                "trainer": "localhost:5000/x/cu13/train:9",
            },
        ),
        (
            {"tag": "2", "operator": {"registry": "a.example", "tag": "3", "digest": DIGEST}},
            {
                "operator": f"a.example/operator@{DIGEST}",
                "prep": "ghcr.io/qinstruct/prep:2",
                "trainer": "ghcr.io/qinstruct/trainer:2",
            },
        ),
    ],
)
def test_images(given: dict[str, Any], expected: dict[str, str]) -> None:
    assert images(render(values={"images": given})) == expected


SCHEDULING: Final[dict[str, Any]] = {
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "x", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
    ],
    "priorityClassName": "infra",
}


def pods(manifests: list[Manifest]) -> list[Any]:
    """The specs of all pods that the chart makes."""
    deployments = of_kind(manifests, "Deployment")
    made = [one["spec"]["template"]["spec"] for one in deployments]
    return made + [one["spec"] for one in of_kind(manifests, "Pod")]


def test_where_the_operator_runs() -> None:
    (deployment,) = of_kind(render(values=SCHEDULING), "Deployment")
    spec = deployment["spec"]["template"]["spec"]
    assert {name: spec[name] for name in SCHEDULING} == SCHEDULING
    (plain,) = of_kind(render(), "Deployment")
    assert set(SCHEDULING) & set(plain["spec"]["template"]["spec"]) == set()


def test_pull_secrets_labels_and_variables() -> None:
    secrets = [{"name": "registry"}]
    proxy = {"name": "HTTPS_PROXY", "value": "http://proxy:3128"}
    values = {
        "images": {"pullSecrets": secrets},
        "podLabels": {"team": "x"},
        "podAnnotations": {"note": "y"},
        "extraEnv": [proxy],
    }
    made = render(values=values)
    assert [one["imagePullSecrets"] for one in pods(made)] == [secrets] * 2
    (deployment,) = of_kind(made, "Deployment")
    metadata = deployment["spec"]["template"]["metadata"]
    assert metadata["labels"]["team"] == "x"
    assert metadata["annotations"] == {"note": "y"}
    assert all(proxy in one["env"] for pod in pods(made) for one in pod["containers"])


@pytest.mark.parametrize("values", [{}, {"runAsUser": None}, {"watchNamespaces": ["a", "b"]}])
def test_every_pod_is_locked_down(values: dict[str, Any]) -> None:
    for pod in pods(render(values=values)):
        assert pod["enableServiceLinks"] is False
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert ("runAsUser" in context) == ("runAsUser" not in values)
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert set(container["resources"]["limits"]) == {"memory", "ephemeral-storage"}
            assert "ephemeral-storage" in container["resources"]["requests"]


def test_the_selector_finds_the_operators_pods_alone() -> None:
    made = render("--set=podLabels.team=x")
    (deployment,) = of_kind(made, "Deployment")
    selector = deployment["spec"]["selector"]["matchLabels"]
    assert selector.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    (test,) = of_kind(made, "Pod")
    assert not selector.items() <= test["metadata"]["labels"].items()


def test_helm_test_asks_for_the_runs_that_are_served() -> None:
    (test,) = of_kind(render(), "Pod")
    (container,) = test["spec"]["containers"]
    assert container["command"] == ["qinstruct", "status", "--all-namespaces"]
    (test,) = of_kind(render(values={"watchNamespaces": ["a", "b"]}), "Pod")
    asked = [one["command"][-1] for one in test["spec"]["containers"]]
    assert asked == ["--namespace=a", "--namespace=b"]
