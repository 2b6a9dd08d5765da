"""The Job that looks after a cluster's cache."""

from typing import Any

import pytest
import yaml

from qinstruct_operator.cli import main
from qinstruct_operator.core.children.pod import container_security, pod_security
from qinstruct_trainer.contract.errors import EXIT_CONFIG
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
    options = ["--unreferenced"] if command == "prune" else []
    mount = container(job(capsys, command, *options))["volumeMounts"][0]
    assert (mount["mountPath"], mount.get("readOnly")) == ("/cache", read_only)


def test_it_is_as_restricted_as_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    made = job(capsys, "verify", "--claim", "my-cache")
    pod = made["spec"]["template"]["spec"]
    assert pod["securityContext"] == pod_security()
    assert container(made)["securityContext"] == container_security()
    assert pod["automountServiceAccountToken"] is False
    assert pod["volumes"][0]["persistentVolumeClaim"] == {"claimName": "my-cache"}


BAD = {
    "an age": ("prune --unused 30", "--unused 30 is no age; write"),
    "a size": ("prune --keep 500GB", "--keep 500GB is no size; write"),
    "no condition": ("prune --yes", "prune needs a condition; give"),
    "the age of runs": ("prune --unused 1d --runs-end-after x", "--runs-end-after x is no age; "),
    "that of ls": ("ls --runs-end-after 1y", "--runs-end-after 1y is no age; "),
    "a namespace": ("ls -n Team_A", "--namespace Team_A is no name of a namespace: up to 63 "),
    "a claim": ("verify --claim my/cache", "--claim my/cache is no name of an object of a cluster"),
    "a cache": ("verify --cache runs/other", "--cache runs/other is a folder of this machine, and"),
}


@pytest.mark.parametrize(("line", "sentence"), BAD.values(), ids=BAD)
def test_what_the_command_would_refuse_is_refused_now(
    line: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cache", "job", *line.split()]) == EXIT_CONFIG
    said = capsys.readouterr()
    assert said.out == ""
    (only,) = said.err.splitlines()
    assert only.startswith(f"qinstruct: {sentence}")


@pytest.mark.parametrize("image", ["Prep", "a b", "prep:"])
def test_an_image_that_no_pod_can_have(
    image: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QINSTRUCT_PREP_IMAGE", image)
    assert main(["cache", "job", "ls"]) == EXIT_CONFIG
    said = f"qinstruct: QINSTRUCT_PREP_IMAGE {image}: is no name of an image; use e.g. "
    assert capsys.readouterr().err.startswith(said)


@pytest.mark.parametrize("line", ["verify --yes", "ls --keep 5Gi", "prune --all", "verify unit"])
def test_an_option_that_the_command_has_not(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    command, *options = line.split()
    assert main(["cache", command, *options]) == 2
    said = capsys.readouterr()
    assert f"Usage: qinstruct cache {command} " in said.err
    assert main(["cache", "job", command, *options]) == 2
    assert capsys.readouterr() == said


def test_another_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "job", "export"]) == 2
    assert "export is none of ls, verify, prune" in capsys.readouterr().err
