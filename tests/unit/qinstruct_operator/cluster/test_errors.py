"""Which errors of requests are kinds of which, since callers catch the wider ones."""

import pytest

from qinstruct_operator.cluster.errors import (
    AlreadyExists,
    ClusterError,
    Conflict,
    Forbidden,
    NotFound,
    Refused,
    UnknownKind,
)

OTHERS = [Conflict, AlreadyExists, NotFound, UnknownKind, Forbidden, Refused]


def test_an_error_carries_what_a_retry_needs() -> None:
    error = Conflict("apply: no", status=409, retry_after=3.0)
    assert (str(error), error.status, error.retry_after) == ("apply: no", 409, 3.0)
    silent = ClusterError("no answer")
    assert (silent.status, silent.retry_after) == (None, None)


@pytest.mark.parametrize("kind", OTHERS)
def test_every_error_is_a_cluster_error(kind: type[ClusterError]) -> None:
    assert issubclass(kind, ClusterError)


def test_an_object_that_exists_is_a_conflict_and_the_others_are_not() -> None:
    assert [kind for kind in OTHERS if issubclass(kind, Conflict)] == [Conflict, AlreadyExists]


def test_a_kind_that_is_not_known_is_no_object_that_is_absent() -> None:
    assert [kind for kind in OTHERS if issubclass(kind, NotFound)] == [NotFound]
