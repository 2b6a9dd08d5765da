"""The Job that looks after a cluster's cache."""

from typing import Any

import pytest
import yaml

from qinstruct_operator.cli import main
from qinstruct_operator.core.children.pod import container_security, pod_security
from support.operator_documents import ROOT

GOLDEN = ROOT / "tests/golden/cache-prune.yaml"


def job(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["cache", "job", *arguments]) == 0
    return yaml.safe_load(capsys.readouterr().out)


def container(made: Any) -> Any:
    (found,) = made["spec"]["template"]["spec"]["containers"]
    return found


def test_the_job_is_the_golden_one(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["prune", "-n", "team-a", "--unused", "30d", "--ended", "x", "--yes"]
    assert main(["cache", "job", *arguments]) == 0
    assert capsys.readouterr().out == GOLDEN.read_text("utf-8")


def test_its_command_is_one_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    made = container(job(capsys, "prune", "--keep", "500Gi"))
    assert made["command"] == [
        *("qinstruct", "cache", "prune", "--cache=/cache", "--keep", "500Gi"),
    ]


@pytest.mark.parametrize(
    ("command", "read_only"), [("ls", True), ("verify", True), ("prune", None)]
)
def test_only_prune_may_write(
    command: str, read_only: bool | None, capsys: pytest.CaptureFixture[str]
) -> None:
    mount = container(job(capsys, command))["volumeMounts"][0]
    assert (mount["mountPath"], mount.get("readOnly")) == ("/cache", read_only)


def test_it_is_as_restricted_as_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    made = job(capsys, "verify", "--claim", "my-cache")
    pod = made["spec"]["template"]["spec"]
    assert pod["securityContext"] == pod_security()
    assert container(made)["securityContext"] == container_security()
    assert pod["automountServiceAccountToken"] is False
    assert pod["volumes"][0]["persistentVolumeClaim"] == {"claimName": "my-cache"}


def test_another_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "job", "export"]) == 2
    assert "export is none of ls, verify, prune" in capsys.readouterr().err
