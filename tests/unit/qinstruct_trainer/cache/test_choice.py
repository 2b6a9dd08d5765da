"""Conditions, each and together."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qinstruct_trainer.cache.choice import Conditions, choose
from qinstruct_trainer.cache.listing import Found
from qinstruct_trainer.contract.cache import CacheEntry, CacheRun

NOW = 1000.0


def thing(name: str, used: float = 0, num_bytes: int = 10, **facts: Any) -> Found:
    entry = CacheEntry(kind="unit", name=name, num_bytes=num_bytes, made=0, used=used)
    return Found(entry.model_copy(update=facts), Path(name), name, num_bytes)


GONE, COMPLETE = (
    CacheRun(name="r", output="/o", state="gone"),
    CacheRun(name="r", output="/o", state="complete"),
)
OLD, NEW = thing("old", used=100), thing("new", used=900)
REFERENCED = thing("referenced", used=50, runs=(GONE, COMPLETE))
HELD = thing("held", held_by="run x has not ended", runs=(GONE,))
FOREIGN = thing("foreign", kind="foreign")
ALL = (NEW, OLD, REFERENCED, HELD, FOREIGN)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (Conditions(), ["referenced", "old", "new"]),
        (Conditions(unused=500), ["referenced", "old"]),
        (Conditions(unreferenced=True), ["old", "new"]),
        (Conditions(unused=500, unreferenced=True), ["old"]),
        (Conditions(keep=50), []),
        (Conditions(keep=49), ["referenced"]),
        (Conditions(keep=40), ["referenced"]),
        (Conditions(keep=39, unreferenced=True), ["old", "new"]),
        (Conditions(keep=0), ["referenced", "old", "new"]),
    ],
)
def test_conditions(conditions: Conditions, expected: list[str]) -> None:
    assert [found.entry.name for found in choose(ALL, conditions, NOW)] == expected


def test_shared_bytes_are_freed_with_their_last_name() -> None:
    first, second = (
        replace(thing(name, used=used, num_bytes=0), shared={(1, 2): 100})
        for name, used in (("first", 1), ("second", 2))
    )
    assert len(choose((first, second), Conditions(keep=99), NOW)) == 2
    assert choose((first, second), Conditions(keep=100), NOW) == ()
