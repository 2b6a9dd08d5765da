"""Warnings of a plan."""

from typing import Any

import pytest

from qinstruct_operator.core.plan.warnings import warnings
from support.operator_documents import document, plan

COMMIT = "0123456789" * 4
PINNED = {"q-instruct-labels": {"sha256": "0" * 64}, "q-instruct-images": {"revision": COMMIT}}
ROOMY = {"microBatchSize": 4}


def plan_warnings(**spec: Any) -> list[str]:
    return list(warnings(plan(document(**spec))))


def test_files_that_are_not_pinned_are_named() -> None:
    loose, again = plan_warnings(training=ROOMY)
    assert loose.startswith("q-instruct-labels, q-instruct-images: no sha256 given")
    assert again.startswith("q-instruct-labels, q-instruct-images: a file that is in the cache is ")
    assert "checked again after 7 days" in again
    sources = {"q-instruct-labels": PINNED["q-instruct-labels"]}
    for warning in plan_warnings(training=ROOMY, data={"sources": sources}):
        assert warning.startswith("q-instruct-images: ")


def test_a_file_of_this_machine_is_no_matter_of_days() -> None:
    sources = {name: {"url": "file:///data/file"} for name in PINNED}
    (warning,) = plan_warnings(training=ROOMY, data={"sources": sources})
    assert "no sha256 given" in warning


def test_a_plan_that_is_pinned_and_has_room_warns_of_nothing() -> None:
    assert plan_warnings(training=ROOMY, data={"sources": PINNED}) == []


def test_a_revision_in_the_address_pins_the_file() -> None:
    sources = PINNED | {"q-instruct-labels": {"url": f"hf://datasets/me/set@{COMMIT}/l.json"}}
    assert plan_warnings(training=ROOMY, data={"sources": sources}) == []
    sources |= {"q-instruct-labels": {"url": "hf://datasets/me/set/l.json"}}
    warning, _ = plan_warnings(training=ROOMY, data={"sources": sources})
    assert warning.startswith("q-instruct-labels: no sha256 given")


@pytest.mark.parametrize("name", ["main", "HEAD", "v1", COMMIT[:12], COMMIT[:-1], COMMIT + "0"])
def test_what_may_move_pins_nothing(name: str) -> None:
    for source in ({"revision": name}, {"url": f"hf://datasets/me/set@{name}/l.json"}):
        sources = PINNED | {"q-instruct-labels": source}
        warning, again = plan_warnings(training=ROOMY, data={"sources": sources})
        assert warning.startswith("q-instruct-labels: no sha256 given, nor a whole commit (40 hex")
        assert again.startswith("q-instruct-labels: a file that is in the cache is checked again")


def test_a_revision_says_nothing_of_mirrors() -> None:
    mirrors = ["https://mirror.example/f"]
    sources: dict[str, Any] = {name: pin | {"mirrors": mirrors} for name, pin in PINNED.items()}
    (warning,) = plan_warnings(training=ROOMY, data={"sources": sources})
    assert warning.startswith("q-instruct-images: a mirror may send another version")


def test_built_in_data_needs_no_pin() -> None:
    assert plan_warnings(size="Tiny") == []


@pytest.mark.parametrize("micro_batch_size", [8, 16])
def test_a_gpu_that_is_nearly_full(micro_batch_size: int) -> None:
    training = {"microBatchSize": micro_batch_size}
    found = plan_warnings(training=training, data={"sources": PINNED})
    assert [warning for warning in found if "of a GPU's memory" in warning] == found
    assert len(found) == (micro_batch_size == 16)
