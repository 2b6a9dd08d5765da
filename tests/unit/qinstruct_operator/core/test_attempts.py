"""What attempts have used up, and when the next one begins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qinstruct_operator.api.spec_operations import Recovery
from qinstruct_operator.api.status import MAX_COUNT, FailureKind, RecoveryStatus, Status
from qinstruct_operator.core.attempts import (
    NOTHING,
    Spent,
    avoided_by,
    avoided_nodes,
    limit,
    wait_seconds,
)
from support.observed import pytorchjob

UID = "0b5f0a6e-8a54-4f0e-9a53-0c8f5b1d7e11"
POLICY = Recovery.model_validate({"backoffSeconds": 30, "maxBackoffSeconds": 600})


def test_the_first_attempt_says_nothing_of_others() -> None:
    assert NOTHING.annotations() == {}
    assert Spent.of_status(Status()) == NOTHING
    assert Spent.of_workload(pytorchjob()) == NOTHING


def test_a_workload_says_what_a_status_has_lost() -> None:
    spent = Spent(retries=2, disruptions=0)
    job = pytorchjob()
    job["metadata"]["annotations"] = spent.annotations()
    assert job["metadata"]["annotations"] == {
        "qinstruct.dev/retries": "2",
        "qinstruct.dev/disruptions": "0",
    }
    assert Spent.of_workload(job) == spent
    status = Status(recovery=RecoveryStatus(retries=2, disruptions=5))
    assert Spent.of_status(status).at_least(Spent(3, 1)) == Spent(3, 5)


@pytest.mark.parametrize("said", ["", "-1", "2.5", "two", "٣", "123456", None, 7, {}])
def test_what_cannot_be_read_of_a_workload_is_nothing(said: object) -> None:
    job = pytorchjob()
    job["metadata"]["annotations"] = {"qinstruct.dev/retries": said}
    assert Spent.of_workload(job) == NOTHING


@pytest.mark.parametrize(
    ("spent", "attempt", "before"),
    [
        (NOTHING, 1, NOTHING),
        (NOTHING, 3, Spent(0, 2)),
        (Spent(1, 1), 3, Spent(1, 1)),
        (Spent(1, 1), 5, Spent(1, 3)),
        (Spent(4, 1), 2, Spent(4, 1)),
        (NOTHING, 99999, Spent(0, MAX_COUNT)),
    ],
)
def test_an_attempt_has_all_those_before_it(spent: Spent, attempt: int, before: Spent) -> None:
    """What neither the status nor a workload can tell any more counts as disturbed."""
    assert spent.before(attempt) == before


@pytest.mark.parametrize(
    ("kind", "count", "of_kind"),
    [("Transient", Spent(2, 1), 2), ("Disruption", Spent(1, 2), 2), ("Permanent", Spent(1, 1), 0)],
)
def test_a_failure_counts_for_its_kind_alone(kind: FailureKind, count: Spent, of_kind: int) -> None:
    assert Spent(1, 1).with_one(kind) == count
    assert count.with_one(kind, -1) == Spent(1, 1)
    assert count.count(kind) == of_kind
    assert NOTHING.with_one(kind, -1) == NOTHING
    full = Spent(MAX_COUNT, MAX_COUNT)
    assert full.with_one(kind) == full


@pytest.mark.parametrize(
    ("failed_on", "before", "avoided"),
    [
        ("", "", ""),
        ("a", "", ""),
        ("a b c", "", ""),
        ("a b a", "", "a"),
        ("a a a", "", "a"),
        ("a b b a", "", "b a"),
        ("a", "b", "b"),
        ("a a", "b", "b a"),
        ("a a", "a", "a"),
        ("d d", "a b c", "b c d"),
        ("a a", "a b c", "b c a"),
        ("gpu-1.example.com gpu-1.example.com", "", "gpu-1.example.com"),
    ],
)
def test_a_node_of_two_failures_is_avoided(failed_on: str, before: str, avoided: str) -> None:
    assert avoided_nodes(failed_on.split(), before.split()) == tuple(avoided.split())


@pytest.mark.parametrize("said", ["", "-a", "A", "a b", "a,,b-", "x" * 254, None, 7, {}])
def test_what_is_no_name_of_a_node_is_not_avoided(said: object) -> None:
    job = pytorchjob()
    job["metadata"]["annotations"] = {"qinstruct.dev/avoided-nodes": said}
    assert set(avoided_by(job)) <= {"a"}


def test_a_workload_says_which_nodes_it_avoids() -> None:
    job = pytorchjob()
    job["metadata"]["annotations"] = {"qinstruct.dev/avoided-nodes": "d,a,b,c"}
    assert avoided_by(job) == ("a", "b", "c")


def test_the_limits_are_those_of_the_spec() -> None:
    policy = Recovery.model_validate({"maxRetries": 4, "maxDisruptions": 9})
    kinds: tuple[FailureKind, ...] = ("Transient", "Disruption", "Permanent")
    assert [limit(policy, kind) for kind in kinds] == [4, 9, 0]


def test_each_wait_is_twice_as_long_less_up_to_a_quarter() -> None:
    for failures, longest in ((1, 30), (2, 60), (3, 120), (5, 480), (6, 600), (1000, 600)):
        waits = {wait_seconds(POLICY, UID, attempt, failures) for attempt in range(1, 200)}
        assert 0.75 * longest <= min(waits) < 0.8 * longest
        assert 0.95 * longest < max(waits) <= longest


def test_the_same_attempt_waits_as_long_whoever_asks() -> None:
    assert wait_seconds(POLICY, UID, 3, 3) == wait_seconds(POLICY, UID, 3, 3)
    others = {wait_seconds(POLICY, f"{UID}-{run}", 3, 3) for run in range(50)}
    assert len(others) > 10


@given(
    st.integers(1, 3600), st.integers(1, 86400), st.text(max_size=40), st.integers(1, 99999),
    st.integers(0, MAX_COUNT),
)  # fmt: skip
def test_no_wait_is_longer_than_the_longest_nor_none(
    first: int, longest: int, uid: str, attempt: int, failures: int
) -> None:
    policy = Recovery.model_validate({"backoffSeconds": first, "maxBackoffSeconds": longest})
    assert 1 <= wait_seconds(policy, uid, attempt, failures) <= longest
