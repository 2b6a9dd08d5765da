"""What `qinstruct status` draws of one run, and that none of it can harm a terminal."""

import io
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from qinstruct_operator.api.read_status import read_status
from qinstruct_operator.catalog.sources import SOURCES
from qinstruct_operator.cli.cluster.runs import ClusterRun, RunDetail
from qinstruct_operator.cli.cluster.show_status import run_detail, runs_table
from qinstruct_operator.kinds import CLAIM
from qinstruct_trainer.contract.errors import EXIT_OK, EXIT_SOFTWARE
from support.any_json import CONDITIONS, METADATA, holding
from support.cli.cluster_commands import (
    EVIL,
    FAILED,
    TAMED,
    TEAM,
    TIME,
    TRAINING_STATUS,
    CommandLine,
    add,
    add_run,
    condition,
)
from support.fake_cluster.cluster import FakeCluster
from support.operator_documents import ROOT


def test_everything_known_of_one(
    qinstruct: CommandLine, cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    add_run(cluster, "x", TRAINING_STATUS)
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
    add(cluster, claim | {"metadata": {"name": "x-output", "namespace": TEAM}})
    cluster.set_status(CLAIM, TEAM, "x-output", {"phase": "Bound"})
    add(cluster, event("x", "QInstructTraining", "Prepared", "data ready"))
    add(cluster, event("x", "Pod", "Pulled", "another object of that name"))

    assert qinstruct("status", "x") == EXIT_OK

    shown = " ".join(capsys.readouterr().out.split())
    for text in (
        "x in namespace team: size 7B, strategy after",
        "progress 43%, 1h12m left",
        "attempt 2 queue gpus node gpu-a GPU-hours 12.3 goodput 95% (GPU-hours: 11.8 "
        "productive, 0.5 starting) queued 2.0 GPU-hours of waiting for GPUs",
        "preparation fetch labels: 5 of 10 files",
        "training step 430 of 1,000 loss 1.2500 12.5 samples/s 9,000.0 tokens/s "
        "1 restart in place (38s lost)",
        "checkpoint after step 400, ",
        "claim qinstruct-cache (not there) claim x-output (Bound)",
        "Running True Training it is so",
        "Normal Prepared data ready (x3)",
    ):
        assert text in shown
    assert "another object" not in shown


def event(run: str, kind: str, reason: str, message: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{run}.{reason.lower()}", "namespace": TEAM},
        "involvedObject": {"kind": kind, "name": run, "namespace": TEAM},
        "type": "Normal",
        "reason": reason,
        "message": message,
        "count": 3,
        "lastTimestamp": TIME,
    }


def test_a_failure_shows_its_log(
    qinstruct: CommandLine, cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    failure = {
        "reason": "BadData",
        "message": "record 7 has no image",
        "exitCode": 65,
        "attempt": 1,
        "logTail": "\n".join(f"line {number}" for number in range(30)),
    }
    add_run(cluster, "x", FAILED | {"failure": failure})
    assert qinstruct("status", "x") == EXIT_SOFTWARE
    shown = capsys.readouterr().out
    for text in ("exit code  65", "record 7 has no image", "  line 10\n", "  line 29\n"):
        assert text in shown
    assert "line 9\n" not in shown


def test_failed_attempts_and_the_next_one_are_shown(
    qinstruct: CommandLine, cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = {"attempt": 1, "kind": "Disruption", "reason": "Evicted", "exitCode": 137,
              "time": TIME, "node": "gpu-7", "step": 1430, "lostSteps": 30}  # fmt: skip
    bare = {"attempt": 2, "kind": "Disruption", "reason": "WorkloadDeleted", "time": TIME}
    recovery = {"disruptions": 2, "failures": [failed, bare]}
    waits = recovery | {"nextAttemptTime": "2999-01-01T00:00:00Z"}
    add_run(cluster, "x", TRAINING_STATUS | {"recovery": waits})
    assert qinstruct("status", "x") == EXIT_OK
    shown = " ".join(capsys.readouterr().out.split())
    assert "failed attempts 0 by failures that may pass, 2 disturbed" in shown
    assert "next attempt in 99d23h" in shown
    assert re.search(r"1 Disruption Evicted 137 \S+ 1,430 30 gpu-7", shown)
    assert "2 Disruption WorkloadDeleted 99d23h" in shown
    add_run(cluster, "z", TRAINING_STATUS | {"phase": "Suspended", "recovery": waits})
    assert qinstruct("status", "z") == EXIT_OK
    assert "next attempt" not in capsys.readouterr().out
    add_run(cluster, "y", TRAINING_STATUS | {"recovery": {"retries": 1}})
    assert qinstruct("status", "y") == EXIT_OK
    shown = capsys.readouterr().out
    assert "1 by failures that may pass" in shown
    assert "Failed attempts" not in shown
    assert "next attempt" not in shown


def test_text_of_the_cluster_is_harmless(
    qinstruct: CommandLine, cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = {
        "phase": EVIL,
        "progress": EVIL,
        "eta": EVIL,
        "queue": EVIL,
        "node": EVIL,
        "model": EVIL,
        "conditions": [condition("Failed", "True", EVIL, EVIL)],
        "prep": {
            **{"stage": EVIL, "item": EVIL, "waitingFor": EVIL, "downloadsEta": EVIL},
            "sources": [
                {"name": EVIL, "state": EVIL, "unit": EVIL, "eta": EVIL, "done": 1, "total": 2}
            ],
        },
        "recovery": {
            "failures": [
                {"attempt": 1, "kind": "Transient", "reason": EVIL, "node": EVIL, "time": TIME}
            ]
        },
        "failure": {"reason": EVIL, "message": f"{EVIL}\n{EVIL}", "logTail": f"{EVIL}\r\n{EVIL}"},
    }
    add_run(cluster, "x", evil)
    add(cluster, event("x", "QInstructTraining", "Evil", EVIL) | {"reason": EVIL})
    assert qinstruct("status", "x") == EXIT_SOFTWARE
    assert qinstruct("status") == EXIT_OK
    shown = capsys.readouterr().out
    assert shown.count(TAMED) >= 15
    assert not {sign for sign in shown if not sign.isprintable()} - {"\n"}


GOLDEN = ROOT / "tests" / "golden" / "status" / "sources.txt"
COCO = {"done": 4_012_345_678, "total": 19_336_861_798, "unit": "bytes", "eta": "2h31m"}
STATES: dict[str, dict[str, Any]] = {
    "q-instruct-labels": {"state": "Ready", "done": 76_512_345, "total": 76_512_345},
    "mix665k-labels": {"state": "Cached", "total": 1_030_000_000},
    "q-instruct-images": {"state": "Ready", "done": 5_631_234_567, "total": 5_631_234_567},
    "coco": {"state": "Fetching"} | COCO,
}


def mix(name: str = "run", **states: dict[str, Any]) -> dict[str, Any]:
    """A run of all published sources, in the order of the work."""
    rows: dict[str, dict[str, Any]] = STATES | states
    rows |= {
        each: {"state": "Waiting", "total": SOURCES[each].num_bytes}
        for each in SOURCES
        if each not in rows
    }
    sources = [{"name": each, "unit": "bytes"} | row for each, row in rows.items()]
    work = {"stage": "fetch", "item": "coco"} | COCO | {"downloadsEta": "10h42m"}
    return {
        "metadata": {"name": name, "namespace": TEAM, "creationTimestamp": TIME},
        "spec": {"size": "13B", "strategy": "mix"},
        "status": {
            **{"phase": "Preparing", "progress": "fetch 20%", "eta": COCO["eta"]},
            "prep": work | {"sources": sources},
        },
    }


def drawn(raw: dict[str, Any]) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=120)
    console.print(run_detail(RunDetail(ClusterRun.of(raw), {}, []), NOW, bar=False))
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())


def test_sources_of_a_mix(update_golden: bool) -> None:
    extracting = {"state": "Extracting", "done": 19_336_861_798, "total": 19_336_861_798}
    pages = (
        mix("fetches"),
        mix("extracts", coco=extracting),
        # Nobody knows the bytes of what a list names.
        mix("lists", **{"ocr-vqa": {"state": "Waiting", "total": None}}),
        mix("takes-files", coco={"state": "Fetching", "done": 7, "total": 9, "unit": "files"}),
    )
    assert all(read_status(page)[1] == () for page in pages)
    text = "".join(map(drawn, pages))
    if update_golden:
        GOLDEN.write_text(text, "utf-8")
    assert text == GOLDEN.read_text("utf-8")
    assert max(map(len, text.splitlines())) <= 120


def test_sources_are_not_shown_of_prepared_data() -> None:
    page = mix()
    assert "vg-2" in drawn(page)
    page["status"] |= {"conditions": [condition("Prepared")]}
    assert "vg-2" not in drawn(page)


NOW = datetime(2026, 1, 2, tzinfo=UTC)
RUNS = holding(
    metadata=METADATA,
    spec=holding("size", "strategy"),
    status=holding(
        *("phase", "progress", "eta", "attempt", "queue", "gpuHours", "goodput", "model"),
        conditions=CONDITIONS,
        prep=holding(
            *("stage", "item", "done", "total", "unit", "waitingFor", "downloadsEta"),
            sources=st.lists(holding("name", "state", "done", "total", "unit", "eta"), max_size=3),
        ),
        training=holding("step", "steps", "loss"),
        failure=st.fixed_dictionaries({"reason": st.text()}, optional={"logTail": st.text()}),
    ),
)


EVENTS = st.lists(holding("type", "reason", "message", "count", "lastTimestamp"), max_size=2)


@given(RUNS, EVENTS)
def test_any_run_can_be_shown(raw: dict[str, Any], events: list[dict[str, Any]]) -> None:
    run = ClusterRun.of(raw)
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, color_system=None, width=80)
    console.print(runs_table([run], NOW, namespaces=True))
    console.print(run_detail(RunDetail(run, {}, events), NOW, bar=True))
    assert not {sign for sign in stream.getvalue() if not sign.isprintable()} - {"\n"}
