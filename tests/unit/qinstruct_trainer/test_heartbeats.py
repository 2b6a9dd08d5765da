import errno
import os
import subprocess
import sys
from math import inf
from pathlib import Path

import pytest

from qinstruct_trainer.heartbeats import LIMITS_ENV, Heartbeat, Limits, Page, Phase, Row

PROGRAM = """
import os
from qinstruct_trainer.heartbeats import Heartbeat, Phase
heartbeat = Heartbeat.of(os.environ, 3)
heartbeat.begin(Phase.START)
heartbeat.begin(Phase.LOAD, 7)
"""


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Page:
    """A page whose name in the environment goes with the test."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    return Page()


def limit_of(page: Page) -> float:
    [row] = page.rows().values()
    return row.limit


def test_nobody_has_said_anything_on_a_new_page(page: Page) -> None:
    assert page.rows() == {}


def test_another_program_writes_its_row(page: Page) -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], env=dict(os.environ)) as process:
        assert process.wait() == 0
    assert page.rows() == {3: Row(2, Limits().long, Phase.LOAD, 7, process.pid)}


def test_a_step_has_its_own_limit_once_three_are_known_and_all_else_the_long_one(
    page: Page,
) -> None:
    limits = Limits(long=1000, floor=50, factor=10)
    heartbeat = Heartbeat.of(dict(os.environ) | {LIMITS_ENV: limits.model_dump_json()}, 0)
    found = []
    for seconds in (9.0, 6.0, 1.0, 7.0, 8.0):
        heartbeat.begin(Phase.COMPUTE, 1)
        found.append(limit_of(page))
        heartbeat.took(seconds)
    heartbeat.begin(Phase.LOAD, 6)
    assert [*found, limit_of(page)] == [1000, 1000, 1000, 60, 65, 70]
    heartbeat.begin(Phase.EVALUATE)
    assert limit_of(page) == 1000
    heartbeat.begin(Phase.SAVE, 6)
    assert limit_of(page) == Limits().files


def test_a_step_may_always_take_as_long_as_the_floor(page: Page) -> None:
    heartbeat = Heartbeat.of(os.environ, 0)
    for _ in range(60):
        heartbeat.took(0.1)
    heartbeat.begin(Phase.UPDATE, 61)
    assert limit_of(page) == Limits().floor
    for _ in range(26):  # more than half of the recent ones
        heartbeat.took(100.0)
    heartbeat.begin(Phase.UPDATE, 87)
    assert limit_of(page) == 1000


def test_who_has_ended_may_be_silent_for_ever(page: Page) -> None:
    Heartbeat.of(os.environ, 0).end()
    assert limit_of(page) == inf


@pytest.mark.parametrize("place", [None, "missing", "empty"])
def test_a_rank_without_a_page_goes_on(place: str | None, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    environment = {} if place is None else {"QINSTRUCT_HEARTBEATS": str(tmp_path / place)}
    Heartbeat.of(environment, 5).begin(Phase.LOAD, 1)


@pytest.mark.parametrize("text", ["", "5", '{"floor": 0}', '{"flooor": 5}', '{"long": Infinity}'])
def test_limits_that_make_no_sense_are_as_good_as_absent(text: str) -> None:
    assert Limits.read({LIMITS_ENV: text}) == Limits() == Limits.read({})


def _refuse(_name: str) -> int:
    raise OSError(errno.ENOSYS, "not implemented")


@pytest.mark.parametrize("is_known", [True, False])
def test_without_a_page_nobody_watches_and_nothing_ends(
    is_known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sandbox that allows no memfd; a Python that does not know it."""
    monkeypatch.setattr(os, "environ", {})
    if is_known:
        monkeypatch.setattr(os, "memfd_create", _refuse)
    else:
        monkeypatch.delattr(os, "memfd_create")
    assert Page().rows() == {}
    heartbeat = Heartbeat.of(os.environ, 0)
    heartbeat.begin(Phase.START)
    assert not heartbeat.is_watched
