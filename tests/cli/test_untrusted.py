"""Whatever a cluster says, the command line reads it without an error and prints it harmlessly."""

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from qinstruct_operator.cli.cluster.pods import PodSelector, select_pods
from qinstruct_operator.cli.cluster.runs import ClusterRun, RunDetail
from qinstruct_operator.cli.cluster.show_status import run_detail, runs_table
from qinstruct_operator.cli.terminal import sanitize
from qinstruct_operator.constants import LABEL_ATTEMPT, LABEL_COMPONENT
from qinstruct_operator.core.fit.nodes import node_fit, pods_of, read_node
from support.any_json import CONDITIONS, JSON, holding
from support.operator_documents import document, plan

NOW = datetime(2026, 1, 2, tzinfo=UTC)
METADATA = holding(
    *("name", "namespace", "creationTimestamp", "deletionTimestamp"),
    labels=st.fixed_dictionaries(
        {LABEL_COMPONENT: st.sampled_from(["prep", "train"])}, optional={LABEL_ATTEMPT: JSON}
    ),
)
STATE = holding("running", "terminated", waiting=holding("reason", "message"))
RUNS = holding(
    metadata=METADATA,
    spec=holding("size", "strategy"),
    status=holding(
        *("phase", "progress", "eta", "attempt", "queue", "gpuHours", "model"),
        conditions=CONDITIONS,
        prep=holding("stage", "item", "done", "total", "unit", "waitingFor"),
        training=holding("step", "steps", "loss"),
        failure=st.fixed_dictionaries({"reason": st.text()}, optional={"logTail": st.text()}),
    ),
)
EVENTS = st.lists(holding("type", "reason", "message", "count", "lastTimestamp"), max_size=2)
PODS = holding(
    metadata=METADATA,
    status=holding(
        "phase",
        conditions=CONDITIONS,
        containerStatuses=st.lists(
            st.fixed_dictionaries({"name": st.sampled_from(["prep", "pytorch"]), "state": STATE})
        ),
    ),
)
NODES = holding(
    metadata=METADATA,
    spec=holding("unschedulable", taints=st.lists(holding("key", "value", "effect"))),
    status=holding(
        allocatable=st.dictionaries(st.sampled_from(["cpu", "nvidia.com/gpu"]), JSON),
        conditions=CONDITIONS,
    ),
)


@given(RUNS, EVENTS)
def test_any_run_can_be_shown(raw: dict[str, Any], events: list[dict[str, Any]]) -> None:
    run = ClusterRun.of(raw)
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, color_system=None, width=80)
    console.print(runs_table([run], NOW, namespaces=True))
    console.print(run_detail(RunDetail(run, {}, events), NOW, bar=True))
    assert not {sign for sign in stream.getvalue() if not sign.isprintable()} - {"\n"}


@given(st.lists(PODS, max_size=3), st.integers(1, 3))
def test_any_pods_can_be_chosen_from(raws: list[dict[str, Any]], attempt: int) -> None:
    meant = select_pods(raws, PodSelector())
    assert set(select_pods(raws, PodSelector("train", attempt))) <= set(meant)


PODS_OF_13B = pods_of(plan(document(size="13B")))


@example({"status": {"conditions": [{"type": []}]}})
@given(NODES)
def test_any_node_can_be_judged(raw: dict[str, Any]) -> None:
    fit = node_fit(PODS_OF_13B, read_node(raw))
    assert fit.train
    assert fit.prep


@given(st.text())
def test_harmless_text_is_printable_and_stays_so(text: str) -> None:
    assert sanitize(text).isprintable()
    assert sanitize(sanitize(text)) == sanitize(text)


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"])))
def test_plain_text_is_left_alone(text: str) -> None:
    assert sanitize(text) == text


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b[", "?["),
        ("\x9b31mred", "?31mred"),
        ("10%\r20%\r\n", "20%"),
        ("a\tb", "a   b"),
        ("bell\x07 back\x08", "bell? back?"),
        ("no\u00a0break", "no break"),
        ("right\u202eleft\u2066", "right?left?"),
    ],
)
def test_what_harms(text: str, want: str) -> None:
    assert sanitize(text) == want
