"""An operator of another version and other settings takes over a run that is under way.

The passes are made by hand, so that it is sure which of the two operators makes a child.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from cluster.harness.api_request import MERGE, runs_path, send_request
from cluster.harness.kwok import Behaviour
from cluster.harness.testcluster import TestCluster
from qinstruct_operator.cluster.connect import connect
from qinstruct_operator.cluster.port import Cluster, Resource
from qinstruct_operator.constants import LABEL_ATTEMPT
from qinstruct_operator.kinds import CONFIG_MAP, POD, TRAINING
from qinstruct_operator.reconcile import Reconciler
from qinstruct_operator.settings import Settings
from support.kinds import PYTORCHJOB
from support.operator_documents import document

pytestmark = pytest.mark.cluster

OLDER: Final = Settings()
NEWER: Final = Settings(trainer_image="newer.example/train:2", prep_image="newer.example/prep:2")
SECONDS: Final = 90
SOON: Final = document(recovery={"backoffSeconds": 1})


class Passes:
    """Passes over the run `x` of a namespace."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    async def until(self, settings: Settings, type_: str, status: str, reason: str) -> None:
        """Reconcile with these settings until a condition has this status and reason."""
        reconciler = Reconciler(self.cluster, settings, lambda: datetime.now(UTC))
        async with asyncio.timeout(SECONDS):
            while True:
                await reconciler.reconcile(self.namespace, "x")
                conditions = (await self.run())["status"]["conditions"]
                found = next(each for each in conditions if each["type"] == type_)
                if (found["status"], found["reason"]) == (status, reason):
                    return
                await asyncio.sleep(0.2)

    async def run(self) -> Resource:
        found = await self.cluster.get(TRAINING, self.namespace, "x")
        assert found is not None
        return found

    async def config(self) -> Resource:
        found = await self.cluster.get(CONFIG_MAP, self.namespace, "x-config")
        assert found is not None
        return found

    async def replicas(self, attempt: int = 1) -> Any:
        """What an attempt is made of, less its number."""
        found = await self.cluster.get(PYTORCHJOB, self.namespace, f"x-{attempt}")
        assert found is not None
        replicas = found["spec"]["pytorchReplicaSpecs"]
        labels = replicas["Master"]["template"]["metadata"]["labels"]
        assert labels.pop(LABEL_ATTEMPT) == str(attempt)
        return replicas


@asynccontextmanager
async def begun(test_cluster: TestCluster, namespace: str) -> AsyncIterator[Passes]:
    """A run whose training pod runs for ever, made by the older operator."""
    test_cluster.kwok.behave("x", "prep", Behaviour(run_for="300ms"), namespace=namespace)
    test_cluster.kwok.behave("x", "train", Behaviour(run_for="100h"), namespace=namespace)
    assert send_request(test_cluster.api, "POST", runs_path(namespace), SOON).ok
    async with connect(kubeconfig=str(test_cluster.api.admin_kubeconfig)) as cluster:
        passes = Passes(cluster, namespace)
        await passes.until(OLDER, "Running", "True", "Loading")
        yield passes


def test_the_attempt_after_one_that_was_deleted_is_made_as_that_was(
    test_cluster: TestCluster, namespace: str
) -> None:
    async def see() -> None:
        async with begun(test_cluster, namespace) as passes:
            made, config = await passes.replicas(), await passes.config()
            delete = ("--namespace", namespace, "delete", "pytorchjob", "x-1")
            test_cluster.kubectl(*delete)
            await passes.until(NEWER, "Running", "True", "Loading")
            assert await passes.replicas(2) == made
            assert (await passes.run())["status"]["image"] == OLDER.trainer_image
            now = await passes.config()
            assert now["metadata"]["resourceVersion"] == config["metadata"]["resourceVersion"]
            assert len(await passes.cluster.list(POD, namespace)) == 2  # prep's, and the new one

    asyncio.run(see())


def test_data_that_one_version_prepares_are_trained_on_by_the_same(
    test_cluster: TestCluster, namespace: str
) -> None:
    """The operator is upgraded while prep is at work; its paths are others, too."""
    elsewhere = replace(NEWER, cache_path=Path("/c"), output_path=Path("/o"))

    async def see() -> None:
        test_cluster.kwok.behave("x", "prep", Behaviour(run_for="3s"), namespace=namespace)
        test_cluster.kwok.behave("x", "train", Behaviour(run_for="100h"), namespace=namespace)
        assert send_request(test_cluster.api, "POST", runs_path(namespace), document()).ok
        async with connect(kubeconfig=str(test_cluster.api.admin_kubeconfig)) as cluster:
            passes = Passes(cluster, namespace)
            await passes.until(OLDER, "Prepared", "False", "Preparing")
            assert (await passes.run())["status"]["image"] == OLDER.trainer_image
            config = await passes.config()
            await passes.until(elsewhere, "Running", "True", "Loading")
            now = await passes.config()
            assert now["metadata"]["resourceVersion"] == config["metadata"]["resourceVersion"]
            (container,) = (await passes.replicas())["Master"]["template"]["spec"]["containers"]
            assert container["image"] == OLDER.trainer_image
            mounted = {each["mountPath"] for each in container["volumeMounts"]}
            assert mounted >= {"/cache", "/output"}
            assert (await passes.run())["status"]["image"] == OLDER.trainer_image

    asyncio.run(see())


def test_an_edit_that_an_older_crd_let_through_is_told_and_has_no_effect(
    test_cluster: TestCluster, namespace: str
) -> None:
    async def see() -> None:
        async with begun(test_cluster, namespace) as passes:
            made, stored = await passes.replicas(), await passes.run()
            path = runs_path(namespace, "x")
            # As before the server had the rules: without the status that they read.
            bare = stored | {"status": {}}
            assert send_request(test_cluster.api, "PUT", f"{path}/status", bare).ok
            change = {"spec": {"gpu": {"perNode": 4}}}
            assert send_request(test_cluster.api, "PATCH", path, change, content_type=MERGE).ok
            await passes.until(NEWER, "Accepted", "True", "EditIgnored")
            (accepted, *_) = (await passes.run())["status"]["conditions"]
            assert accepted["message"].startswith("spec.gpu.perNode 4: was 8 when x-1 was made")
            assert await passes.replicas() == made

    asyncio.run(see())
