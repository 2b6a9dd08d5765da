"""A real operator process goes on after each reply that no API server gives, and after each loss.

The server is a small one in memory behind a fault proxy. A run is created after the fault, and
the operator must look at it within 30 seconds: in the same process, with one line in its log and
no traceback.
"""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from cluster.clients.bad_replies import DISTURBANCES, UNTOLD
from cluster.clients.fault_rules import Answer, Rule
from cluster.clients.operator_process import Operator, operator_process
from cluster.clients.proxy import FaultProxy, fault_proxy
from cluster.harness.processes import wait_until
from qinstruct_operator.constants import PLURAL
from qinstruct_operator.hearing import DEAF_SECONDS
from support.matrix import sampled
from support.mini_api import MiniApi, mini_api

pytestmark = pytest.mark.slow

HEALED: Final = 30.0
NUM_WATCHES: Final = 4  # runs, Jobs, PyTorchJobs, pods
ONLY_WATCH: Final = {"QINSTRUCT_LIST_SECONDS": "3600"}


@dataclass(frozen=True)
class Scene:
    """An operator, the server that it asks, and what goes wrong between them."""

    api: MiniApi
    proxy: FaultProxy
    operator: Operator
    kubeconfig: Path

    def expect_a_look_at(self, name: str, seconds: float = HEALED) -> None:
        wait_until(lambda: name in self.api.read, f"a look at run {name}", seconds)

    @property
    def health(self) -> int:
        """The status of the liveness endpoint."""
        try:
            with urllib.request.urlopen(self.operator.health, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return int(error.code)

    @property
    def troubles(self) -> list[str]:
        """Lines of the log at WARNING or above."""
        lines = self.operator.log.splitlines()
        return [line for line in lines if "[WARNING" in line or "[ERROR" in line]


def write_kubeconfig(path: Path, server: str, token: str) -> Path:
    content = {
        "clusters": [{"name": "one", "cluster": {"server": server}}],
        "users": [{"name": "one", "user": {"token": token}}],
        "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
        "current-context": "one",
    }
    new = path.with_suffix(".new")
    new.write_text(json.dumps(content), "utf-8")
    return new.replace(path)


@contextmanager
def scene(
    folder: Path, *, environment: dict[str, str] | None = None, absent: tuple[str, ...] = ()
) -> Iterator[Scene]:
    with mini_api() as api, fault_proxy(api.url, None) as proxy:
        api.tokens = {"old"}
        api.absent = set(absent)
        kubeconfig = write_kubeconfig(folder / "kubeconfig", proxy.url, "old")
        with operator_process(folder / "operator", kubeconfig, environment=environment) as operator:
            open_watches = NUM_WATCHES - len(absent)
            wait_until(lambda: proxy.num_open_watches == open_watches, "the watches are open")
            time.sleep(1.5)  # a watch that ends at once would be a trouble of its own
            pid = operator.pid
            yield Scene(api, proxy, operator, kubeconfig)
            assert operator.pid == pid
            assert "Traceback" not in operator.log


@pytest.fixture(scope="module")
def hearing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One process has to survive them all, and it has nothing but its watches."""
    with scene(tmp_path_factory.mktemp("bad"), environment=ONLY_WATCH) as stage:
        yield stage


@pytest.mark.parametrize("name", sampled(DISTURBANCES, 12))
def test_one_bad_reply_to_a_watch_is_survived(hearing: Scene, name: str) -> None:
    wait_until(lambda: hearing.proxy.num_open_watches == NUM_WATCHES, "the watches are open")
    time.sleep(1.5)  # one that ends at once would be a trouble of its own
    before, run = len(hearing.troubles), name.replace(" ", "-").lower()
    DISTURBANCES[name](hearing.proxy)
    hearing.api.add_run(run)
    hearing.expect_a_look_at(run)
    assert hearing.proxy.unmet == ()
    assert hearing.troubles[before + (name not in UNTOLD) :] == []
    assert name in UNTOLD or PLURAL in hearing.troubles[before]
    assert hearing.health == 200


# What is told only by the list, or by nothing.


def test_a_run_that_no_watch_tells_of_is_found_by_the_list(tmp_path: Path) -> None:
    with scene(tmp_path) as stage:
        stage.api.add_run("untold", tell=False)
        stage.expect_a_look_at("untold")
        assert stage.troubles == []


def test_a_silent_connection_is_given_up(tmp_path: Path) -> None:
    with scene(tmp_path, environment=ONLY_WATCH) as stage:
        stage.proxy.end_watches(b"", keep_open=True)
        stage.api.add_run("later")
        stage.expect_a_look_at("later")


def test_a_kind_that_comes_after_the_operator_is_watched(tmp_path: Path) -> None:
    with scene(tmp_path, environment=ONLY_WATCH, absent=(PLURAL,)) as stage:
        time.sleep(4)
        stage.api.absent.clear()
        stage.api.add_run("later")
        stage.expect_a_look_at("later")
        assert len(stage.troubles) == 1
        assert "is its CustomResourceDefinition installed?" in stage.troubles[0]


def test_a_kind_that_is_removed_and_made_again_is_watched_again(tmp_path: Path) -> None:
    with scene(tmp_path, environment=ONLY_WATCH) as stage:
        stage.api.absent.add(PLURAL)
        time.sleep(4)
        stage.api.absent.clear()
        stage.api.add_run("later")
        stage.expect_a_look_at("later")
        assert len(stage.troubles) == 1, stage.troubles


def test_a_run_whose_kind_is_unknown_for_a_moment_is_looked_at_again(tmp_path: Path) -> None:
    with scene(tmp_path, environment=ONLY_WATCH) as stage:
        page = Answer(404, body=b"404 page not found\n")
        stage.proxy.add(Rule(page, method="GET", path=f"/{PLURAL}/later", times=2))
        stage.api.add_run("later")
        stage.expect_a_look_at("later")
        assert len(stage.troubles) == 1, stage.troubles
        assert "is its CustomResourceDefinition installed?" in stage.troubles[0]


def test_liveness_fails_while_nothing_is_heard_and_heals(tmp_path: Path) -> None:
    with scene(tmp_path) as stage:
        assert stage.health == 200
        stage.proxy.add(Rule(Answer(500), path=PLURAL, times=100_000))
        stage.proxy.end_watches(b"", PLURAL)
        wait_until(lambda: stage.health == 500, "liveness fails", DEAF_SECONDS + HEALED)
        deaf = [line for line in stage.troubles if "the liveness endpoint fails" in line]
        assert len(deaf) == 1
        stage.proxy.clear()
        stage.api.add_run("later")
        stage.expect_a_look_at("later")
        wait_until(lambda: stage.health == 200, "liveness", HEALED)


# Credentials.


def test_a_replaced_token_is_used_and_the_old_one_is_not_needed(tmp_path: Path) -> None:
    with scene(tmp_path) as stage:
        write_kubeconfig(stage.kubeconfig, stage.proxy.url, "new")
        stage.api.tokens = {"new"}
        begin = len(stage.api.asked)
        stage.proxy.end_watches(b"")
        stage.api.add_run("later")
        stage.expect_a_look_at("later")
        assert {token for _, token in stage.api.asked[begin:]} == {"new"}
        assert stage.troubles == []


def test_a_token_that_is_revoked_before_it_is_replaced(tmp_path: Path) -> None:
    with scene(tmp_path) as stage:
        stage.api.tokens = {"new"}
        stage.proxy.end_watches(b"")
        time.sleep(6)
        write_kubeconfig(stage.kubeconfig, stage.proxy.url, "new")
        stage.api.add_run("later")
        stage.expect_a_look_at("later")
        assert len(stage.troubles) == 1, stage.troubles
        assert "Unauthorized" in stage.troubles[0]


def test_it_ends_at_once_when_it_is_asked_to(tmp_path: Path) -> None:
    with mini_api() as api, fault_proxy(api.url, None) as proxy:
        kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", proxy.url, "any")
        with operator_process(tmp_path / "operator", kubeconfig) as operator:
            wait_until(lambda: proxy.num_open_watches == NUM_WATCHES, "the watches are open")
            begin = time.monotonic()
            operator.stop()
            assert time.monotonic() - begin < 15
    assert "Traceback" not in operator.log
    assert "Unclosed" not in operator.log
