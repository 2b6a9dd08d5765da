"""Which pod of a run is meant."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qinstruct_operator.cli.cluster.pods import PodSelector, RunPod, newest_started, select_pods
from qinstruct_operator.constants import LABEL_ATTEMPT, LABEL_COMPONENT
from support.any_json import CONDITIONS, METADATA, holding

TIME = "2026-01-01T00:00:00Z"
LATER = "2026-01-01T00:00:01Z"
RUNNING: dict[str, Any] = {"state": {"running": {}}}
ENDED: dict[str, Any] = {"state": {"terminated": {"exitCode": 0}}}
WAITING: dict[str, Any] = {"state": {"waiting": {"reason": "ErrImagePull", "message": "no image"}}}


def pod(
    name: str,
    component: str = "train",
    attempt: str = "1",
    container: dict[str, Any] | None = None,
    created: str = TIME,
) -> dict[str, Any]:
    """A pod; without a container's status it has not been given a node."""
    own = {"prep": "prep", "train": "pytorch"}.get(component, "other")
    unschedulable = {"type": "PodScheduled", "status": "False", "message": "no node"}
    return {
        "metadata": {
            "name": name,
            "creationTimestamp": created,
            "labels": {LABEL_COMPONENT: component, LABEL_ATTEMPT: attempt},
        },
        "status": {
            "conditions": [] if container else [unschedulable],
            "containerStatuses": [{"name": own, **container}] if container else [],
        },
    }


def names(pods: Iterable[RunPod]) -> list[str]:
    return [each.name for each in pods]


def test_pods_are_sorted_by_creation_and_attempt() -> None:
    pods = [
        pod("x-2", attempt="2"),
        pod("x-10", attempt="10"),
        pod("late", "prep", created=LATER),
        pod("x-1", attempt="1"),
    ]
    assert names(select_pods(pods, PodSelector())) == ["x-1", "x-2", "x-10", "late"]


@pytest.mark.parametrize(
    ("selector", "selected", "called"),
    [
        (PodSelector(), ["x-prep", "x-1", "x-2"], "pod"),
        (PodSelector("prep"), ["x-prep"], "preparation pod"),
        (PodSelector("train"), ["x-1", "x-2"], "training pod"),
        (PodSelector("train", 2), ["x-2"], "training pod of attempt 2"),
        (PodSelector("train", 3), [], "training pod of attempt 3"),
    ],
)
def test_a_selector(selector: PodSelector, selected: list[str], called: str) -> None:
    pods = [pod("x-prep", "prep", ""), pod("x-1"), pod("x-2", attempt="2"), pod("y", "other")]
    assert names(select_pods(pods, selector)) == selected
    assert str(selector) == called
    assert selector.is_narrow == (selector != PodSelector())


def test_the_newest_that_has_started() -> None:
    pods = [
        pod("x-1", container=ENDED),
        pod("x-2", attempt="2", container=RUNNING),
        pod("x-3", attempt="3"),
    ]
    chosen = newest_started(select_pods(pods, PodSelector()))
    assert chosen is not None
    assert (chosen.name, chosen.has_started, chosen.is_over) == ("x-2", True, False)


def test_the_newest_where_none_has_started() -> None:
    chosen = newest_started(select_pods([pod("x-1"), pod("x-2", attempt="2")], PodSelector()))
    assert chosen is not None
    assert chosen.name == "x-2"
    assert newest_started([]) is None


def test_why_a_pod_waits() -> None:
    pods = [pod("x-1"), pod("x-2", attempt="2", container=WAITING), pod("x-3", container=RUNNING)]
    waiting = {each.name: each.waiting for each in select_pods(pods, PodSelector())}
    assert waiting == {"x-1": "no node", "x-2": "ErrImagePull: no image", "x-3": ""}


def test_labels_that_nobody_of_us_wrote() -> None:
    (found,) = select_pods([pod("x-1", attempt="first")], PodSelector())
    assert found.attempt is None


STATE = holding("running", "terminated", waiting=holding("reason", "message"))
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


@given(st.lists(PODS, max_size=3), st.integers(1, 3))
def test_any_pods_can_be_chosen_from(raws: list[dict[str, Any]], attempt: int) -> None:
    meant = select_pods(raws, PodSelector())
    assert set(select_pods(raws, PodSelector("train", attempt))) <= set(meant)
