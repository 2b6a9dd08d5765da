"""Connecting, and how a cluster's refusals are explained."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qinstruct_operator.cli.cluster.connection import (
    explain,
    has_kubeconfig,
    is_transient,
    open_connection,
)
from qinstruct_operator.cluster.errors import ClusterError, Forbidden
from qinstruct_trainer.contract.errors import (
    EXIT_CONFIG,
    EXIT_UNAVAILABLE,
    UnavailableError,
)
from support.cli.cluster_commands import EVIL, TAMED, TEAM, UNREACHABLE, CommandLine
from support.fake_cluster.cluster import FakeCluster

REFUSALS: dict[str, tuple[ClusterError, str]] = {
    "forbidden": (
        Forbidden('list qinstructtrainings: User "ann" cannot list', status=403),
        'list qinstructtrainings: User "ann" cannot list; ask for a role that allows it, or use '
        "another --context",
    ),
    "unreachable": (UNREACHABLE, f"{UNREACHABLE}; check the network, $KUBECONFIG and --context"),
    "out of order": (ClusterError("etcd is full", status=500), "etcd is full"),
}


@pytest.mark.parametrize(("error", "sentence"), REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("command", ["status", "status x", "logs x", "logs x -f"])
def test_a_refusal_is_one_sentence(
    qinstruct: CommandLine,
    cluster: FakeCluster,
    capsys: pytest.CaptureFixture[str],
    error: ClusterError,
    sentence: str,
    command: str,
) -> None:
    cluster.fail(error)
    assert qinstruct(*command.split()) == EXIT_UNAVAILABLE
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", f"qinstruct: {sentence}\n")


@pytest.mark.parametrize(("error", "sentence"), REFUSALS.values(), ids=REFUSALS)
def test_an_error_is_explained(error: ClusterError, sentence: str) -> None:
    assert explain(error) == sentence


def test_an_explanation_is_sanitized() -> None:
    assert explain(ClusterError(EVIL, status=500)) == TAMED


@pytest.mark.parametrize(
    ("status", "transient"),
    [(None, True), (429, True), (500, True), (503, True), (403, False), (404, False), (422, False)],
)
def test_which_errors_may_pass(status: int | None, transient: bool) -> None:
    assert is_transient(ClusterError("no", status=status)) == transient


@pytest.mark.usefixtures("qinstruct")
def test_a_connection_has_the_namespace_of_its_context() -> None:
    async def namespace() -> str:
        async with open_connection(None) as connection:
            return connection.namespace

    assert asyncio.run(namespace()) == TEAM


@pytest.mark.usefixtures("qinstruct")
def test_an_error_while_it_is_open_is_explained() -> None:
    async def fail() -> None:
        async with open_connection(None):
            raise UNREACHABLE

    with pytest.raises(UnavailableError, match="check the network"):
        asyncio.run(fail())


@pytest.mark.parametrize(
    ("named", "found"),
    [("missing", False), ("a/config", True), ("missing:a/config", True), (":", False)],
)
def test_a_kubeconfig_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, found: bool
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/config").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", named)
    assert has_kubeconfig() == found


def test_the_kubeconfig_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert not has_kubeconfig()
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube/config").touch()
    assert has_kubeconfig()


def test_a_place_for_the_keys_of_tls_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    place = tmp_path / "missing" / "keys"
    done = subprocess.run(
        [sys.executable, "-m", "qinstruct_operator", "status", "x"],
        env=os.environ | {"SSLKEYLOGFILE": str(place)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == EXIT_CONFIG
    assert done.stderr == (
        f"qinstruct: SSLKEYLOGFILE in the environment names '{place}', which cannot be written "
        "(No such file or directory); name another file, or unset it\n"
    )
