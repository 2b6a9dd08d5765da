"""Which attempt is due or under way."""

import pytest

from qinstruct_operator.api.status import Status
from qinstruct_operator.core.attempts import present_attempt


@pytest.mark.parametrize(("stored", "want"), [(None, 1), (0, 1), (1, 1), (7, 7)])
def test_the_first_attempt_is_one(stored: int | None, want: int) -> None:
    assert present_attempt(Status(attempt=stored)) == want
