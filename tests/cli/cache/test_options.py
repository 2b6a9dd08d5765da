"""Ages, sizes and names after an option."""

import pytest

from qinstruct_operator.cli.cache.options import (
    age_seconds,
    namespace_name,
    object_name,
    size_bytes,
)
from qinstruct_trainer.contract.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30d", 2_592_000), ("12h", 43_200), ("2w", 1_209_600), ("90m", 5400), ("0d", 0)],
)
def test_an_age(text: str, seconds: float) -> None:
    assert age_seconds("--unused", text) == seconds


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5d", "1y", "30 d", "1" * 9 + "d"])
def test_no_age(text: str) -> None:
    with pytest.raises(ConfigError, match=f"--unused {text} is no age"):
        age_seconds("--unused", text)


@pytest.mark.parametrize(
    ("text", "expected"), [("500Gi", 500 * 2**30), ("1.5T", 15 * 10**11), ("0", 0), ("1e3", 1000)]
)
def test_a_size(text: str, expected: int) -> None:
    assert size_bytes("--keep", text) == expected


@pytest.mark.parametrize("text", ["", "500 Gi", "500GB", "-1Gi", "all"])
def test_no_size(text: str) -> None:
    with pytest.raises(ConfigError, match=f"--keep {text} is no size"):
        size_bytes("--keep", text)


@pytest.mark.parametrize("text", ["a", "team-a", "9", "x" * 63])
def test_a_name_of_a_namespace(text: str) -> None:
    assert namespace_name("--namespace", text) == text
    assert object_name("--claim", text) == text


@pytest.mark.parametrize("text", ["", "Team", "a_b", "-a", "a-", "a/b", "a b", "x" * 254])
def test_no_name(text: str) -> None:
    with pytest.raises(ConfigError, match=f"--namespace {text:.80} is no name of a namespace: up"):
        namespace_name("--namespace", text)
    with pytest.raises(ConfigError, match=f"--claim {text:.80} is no name of an object of a clus"):
        object_name("--claim", text)


@pytest.mark.parametrize("text", ["a.b", "x" * 64, "x" * 253])
def test_a_name_of_an_object_that_no_namespace_has(text: str) -> None:
    assert object_name("--claim", text) == text
    with pytest.raises(ConfigError):
        namespace_name("--namespace", text)
