"""A real API server behind the port: the contract suite, and what only a real server does."""

import asyncio
import copy
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import pytest

pytest.register_assert_rewrite("support.port_contract")

from cluster.harness.kwok import Behaviour as Life  # noqa: E402 - after the line above, as all below
from cluster.harness.testcluster import TestCluster  # noqa: E402
from qinstruct_operator.cluster import kube  # noqa: E402
from qinstruct_operator.cluster.connect import connect  # noqa: E402
from qinstruct_operator.cluster.errors import ClusterError, Forbidden, Refused  # noqa: E402
from qinstruct_operator.cluster.kube import KubeCluster  # noqa: E402
from qinstruct_operator.constants import LABEL_COMPONENT, LABEL_RUN  # noqa: E402
from qinstruct_operator.kinds import CONFIG_MAP, POD, Kind  # noqa: E402
from support.kinds import ALL_KINDS  # noqa: E402
from support.port_contract.suite import BEHAVIOURS  # noqa: E402
from support.port_contract.target import Behaviour, Target, config_map, pod, pytorchjob  # noqa: E402

pytestmark = pytest.mark.cluster


Run = Callable[[Behaviour], None]


@pytest.fixture
def run(test_cluster: TestCluster, namespace: str) -> Run:
    """Run a behaviour against the real server, as administrator."""
    kubeconfig = str(test_cluster.api.admin_kubeconfig)

    async def delete(kind: Kind, name: str) -> None:
        arguments = ("delete", kind.plural, name, f"--namespace={namespace}")
        await asyncio.to_thread(test_cluster.kubectl, *arguments, "--cascade=foreground")

    async def trial(behaviour: Behaviour) -> None:
        async with (
            connect(kubeconfig=kubeconfig) as cluster,
            connect(kubeconfig=kubeconfig, field_manager="somebody-else") as other,
        ):
            await behaviour(Target(cluster, other, namespace, delete))

    return lambda behaviour: asyncio.run(trial(behaviour))


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda one: one.__name__)
def test_a_real_server_keeps_the_contract(run: Run, behaviour: Behaviour) -> None:
    run(behaviour)


def test_the_server_knows_every_kind_by_our_names(run: Run) -> None:
    async def behaviour(target: Target) -> None:
        for kind in ALL_KINDS:
            await target.cluster.list(kind, target.namespace if kind.namespaced else None)

    run(behaviour)


def test_pages_make_one_list(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube, "_PAGE", "3")

    async def behaviour(target: Target) -> None:
        wanted = [f"notes-{number}" for number in range(10)]
        for name in wanted:
            manifest = config_map(target, name, k="v")
            manifest["metadata"]["labels"] = {"page": "yes"}
            await target.cluster.apply(manifest)
        found = await target.cluster.list(CONFIG_MAP, target.namespace, labels={"page": "yes"})
        assert [one["metadata"]["name"] for one in found] == wanted

    run(behaviour)


def test_the_refusal_of_a_webhook_is_about_the_object(run: Run) -> None:
    async def behaviour(target: Target) -> None:
        manifest = pytorchjob(target)
        template = manifest["spec"]["pytorchReplicaSpecs"]["Master"]["template"]
        template["spec"]["containers"][0]["name"] = "other"
        with pytest.raises(Refused, match="at least one container with name pytorch"):
            await target.cluster.apply(manifest)

    run(behaviour)


def test_a_refusal_by_the_pod_security_standard_is_reported(run: Run) -> None:
    async def behaviour(target: Target) -> None:
        manifest = pod(target)
        del manifest["spec"]["containers"][0]["securityContext"]
        with pytest.raises(ClusterError, match="violates PodSecurity") as caught:
            await target.cluster.apply(manifest)
        assert caught.value.status == 403

    run(behaviour)


# aiohttp advises against bodies of such a size; none of ours has it.
@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
@pytest.mark.parametrize("megabytes", [1.1, 4])
def test_an_object_that_is_too_large_is_refused(run: Run, megabytes: float) -> None:
    async def behaviour(target: Target) -> None:
        with pytest.raises(Refused):
            await target.cluster.apply(config_map(target, k="x" * int(megabytes * 2**20)))
        # Refused before it was sent to its end: the event loop must live to see the rest refused.
        await asyncio.sleep(0.5)

    run(behaviour)


def test_an_absent_namespace_is_named(run: Run) -> None:
    async def behaviour(target: Target) -> None:
        manifest = config_map(target, k="v")
        manifest["metadata"]["namespace"] = "nowhere"
        with pytest.raises(ClusterError, match="apply ConfigMap nowhere/notes: namespaces"):
            await target.cluster.apply(manifest)

    run(behaviour)


def test_a_user_without_permissions_gets_forbidden(
    test_cluster: TestCluster, namespace: str
) -> None:
    kubeconfig = test_cluster.api.kubeconfig_for(test_cluster.api.token(namespace, "default"))

    async def trial(attempt: Callable[[KubeCluster], Awaitable[object]]) -> None:
        async with connect(kubeconfig=str(kubeconfig)) as cluster:
            with pytest.raises(Forbidden, match=f"{namespace}:default. cannot") as caught:
                await attempt(cluster)
            assert caught.value.status == 403

    pod_log = ("pod", "main")
    asyncio.run(trial(lambda cluster: cluster.get(CONFIG_MAP, namespace, "x")))
    asyncio.run(trial(lambda cluster: cluster.list(POD, None)))
    asyncio.run(trial(lambda cluster: cluster.read_log(namespace, *pod_log, tail_lines=1)))


def test_an_unknown_token_is_not_accepted(test_cluster: TestCluster) -> None:
    kubeconfig = test_cluster.api.kubeconfig_for("made-up")

    async def trial() -> None:
        async with connect(kubeconfig=str(kubeconfig)) as cluster:
            with pytest.raises(ClusterError) as caught:
                await cluster.get(CONFIG_MAP, "default", "x")
            assert caught.value.status == 401

    asyncio.run(trial())


def test_a_server_that_does_not_listen_is_named(test_cluster: TestCluster) -> None:
    server = "https://127.0.0.1:1"  # no program is given a port below 1024
    kubeconfig = test_cluster.api.kubeconfig_for("any", server)

    async def trial() -> None:
        async with connect(kubeconfig=str(kubeconfig)) as cluster:
            with pytest.raises(
                ClusterError, match=f"no answer from {server}: .*127.0.0.1"
            ) as caught:
                await cluster.get(CONFIG_MAP, "default", "x")
            assert caught.value.status is None

    asyncio.run(trial())


def test_a_log_is_read_and_followed(run: Run, test_cluster: TestCluster, namespace: str) -> None:
    labels = {LABEL_RUN: "logged", LABEL_COMPONENT: "prep"}
    lines = ["one", "two \x85 \u2028 still two", "three"]
    test_cluster.kwok.behave(
        "logged", "prep", Life(run_for="100h"), namespace=namespace, logs=lines
    )

    async def behaviour(target: Target) -> None:
        manifest = copy.deepcopy(pod(target))
        manifest["metadata"]["labels"] = labels
        del manifest["spec"]["nodeSelector"]
        await target.cluster.apply(manifest)
        wait = ("wait", "pod/pod", "--for=condition=Ready", f"--namespace={namespace}")
        await asyncio.to_thread(test_cluster.kubectl, *wait, "--timeout=30s")
        read = await target.cluster.read_log(namespace, "pod", "main", tail_lines=2)
        assert read == tuple(lines[1:])
        async with aclosing(target.cluster.follow_log(namespace, "pod", "main")) as followed:
            assert [await anext(followed) for _ in lines] == lines
            test_cluster.kwok.log("logged", "prep", "four", namespace=namespace)
            assert await anext(followed) == "four"
            test_cluster.kwok.change("pod", namespace, Life(run_for="100ms"))
            assert [line async for line in followed] == []

    run(behaviour)


def test_a_follower_learns_that_the_connection_is_lost(
    run: Run, test_cluster: TestCluster, namespace: str
) -> None:
    labels = {LABEL_RUN: "lost", LABEL_COMPONENT: "prep"}
    test_cluster.kwok.behave("lost", "prep", Life(run_for="100h"), namespace=namespace, logs=["a"])

    async def behaviour(target: Target) -> None:
        manifest = copy.deepcopy(pod(target))
        manifest["metadata"]["labels"] = labels
        del manifest["spec"]["nodeSelector"]
        await target.cluster.apply(manifest)
        wait = ("wait", "pod/pod", "--for=condition=Ready", f"--namespace={namespace}")
        await asyncio.to_thread(test_cluster.kubectl, *wait, "--timeout=30s")
        async with aclosing(target.cluster.follow_log(namespace, "pod", "main")) as followed:
            assert await anext(followed) == "a"
            await asyncio.to_thread(test_cluster.stop_program, "kube-apiserver")
            try:
                with pytest.raises(ClusterError, match="the connection was lost"):
                    await anext(followed)
            finally:
                await asyncio.to_thread(test_cluster.start_program, "kube-apiserver")

    run(behaviour)
