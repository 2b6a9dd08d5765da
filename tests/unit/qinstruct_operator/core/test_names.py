"""Names of children."""

import pytest

from qinstruct_operator.core import names


def test_attempts_have_names_until_they_no_longer_fit() -> None:
    longest = "r" * 48
    assert names.training_name(longest, 99999) == f"{longest}-99999"
    with pytest.raises(ValueError, match="cannot be the name"):
        names.training_name(longest, 100000)
    with pytest.raises(ValueError, match="cannot be the name"):
        names.training_name("r", 0)
