"""Files of use: whose they are, and what a run's folder says of it."""

import json
import os
from pathlib import Path

import pytest

from qinstruct_trainer.lease import Lease
from qinstruct_trainer.prep.uses import Use, Uses, place_of, remove_uses, state_of, uses_of
from support.cache.units import run_folder

UNIT = "fetch-labels-0123456789abcdef"


def test_nobody_joins_a_unit_before_it_is_begun_or_after_it_was_removed(tmp_path: Path) -> None:
    uses = Uses(tmp_path, "x", None)
    assert not uses.join(UNIT)
    uses.begin(UNIT)
    assert uses.join(UNIT)
    assert Uses(tmp_path, "y", None).join(UNIT)
    assert sorted(found.use.run for found in uses_of(tmp_path, UNIT)) == ["x", "y"]
    assert remove_uses(tmp_path, UNIT, uses_of(tmp_path, UNIT))
    assert not uses.join(UNIT)
    assert remove_uses(tmp_path, UNIT, ())


def test_who_leaves_a_unit_uses_it_no_longer(tmp_path: Path) -> None:
    one, other = Uses(tmp_path, "x", None), Uses(tmp_path, "y", None)
    one.leave(UNIT)  # which it has not used
    one.begin(UNIT)
    other.begin(UNIT)
    one.leave(UNIT)
    assert [found.use.run for found in uses_of(tmp_path, UNIT)] == ["y"]


def test_a_use_that_has_come_meanwhile_is_kept(tmp_path: Path) -> None:
    Uses(tmp_path, "x", None).begin(UNIT)
    seen = uses_of(tmp_path, UNIT)
    Uses(tmp_path, "x", None).join(UNIT)  # the same run, again
    assert not remove_uses(tmp_path, UNIT, seen)
    assert [found.use.run for found in uses_of(tmp_path, UNIT)] == ["x"]


def test_a_run_has_one_file_of_use_however_often_it_prepares(tmp_path: Path) -> None:
    for _ in range(3):
        Uses(tmp_path, "x", tmp_path / "runs/x").begin(UNIT)
    Uses(tmp_path, "x", tmp_path / "others/x").begin(UNIT)
    assert len(uses_of(tmp_path, UNIT)) == 2


def join_and_die(cache: Path, before: str) -> None:
    """A preparation that is killed before the first system call of a name."""
    pid = os.fork()
    if pid == 0:
        vars(os)[before] = lambda *_, **__: os._exit(9)
        Uses(cache, "x", None).begin(UNIT)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 9


@pytest.mark.parametrize("before", ["fdopen", "fsync", "replace", "close"])
def test_what_a_killed_preparation_has_begun_to_write_holds_nothing(
    tmp_path: Path, before: str
) -> None:
    join_and_die(tmp_path, before)
    left = [*(tmp_path / "uses" / UNIT).iterdir()]
    assert left
    assert all(json.loads(path.read_bytes()) for path in left if path.name[0] != ".")
    assert Uses(tmp_path, "x", None).join(UNIT)  # the same run, again
    (use,) = uses_of(tmp_path, UNIT)
    assert use.use.run == "x"
    assert remove_uses(tmp_path, UNIT, (use,))
    assert not (tmp_path / "uses" / UNIT).exists()


@pytest.mark.parametrize("planted", ["uses", f"uses/{UNIT}"])
def test_a_link_is_not_followed(tmp_path: Path, planted: str) -> None:
    (tmp_path / "aside").mkdir()
    cache = tmp_path / "cache"
    (cache / planted).parent.mkdir(parents=True)
    (cache / planted).symlink_to(tmp_path / "aside")
    with pytest.raises(OSError, match="a link, which is not followed"):
        Uses(cache, "x", None).begin(UNIT)
    assert list((tmp_path / "aside").iterdir()) == []
    assert uses_of(cache, UNIT) == ()


def use_of(output: Path) -> Use:
    return Use(run="x", output=str(output), place=place_of(output))


def test_what_is_known_of_a_run(tmp_path: Path) -> None:
    output = tmp_path / "runs/x"
    run_folder(output)
    use = use_of(output)
    assert state_of(use) == "unfinished"
    (output / "model").mkdir()
    assert state_of(use) == "complete"
    with Lease.acquire(output / "lease", "x"):
        assert state_of(use) == "unfinished"
    assert state_of(use) == "complete"
    (output).rename(tmp_path / "elsewhere")
    assert state_of(use) == "gone"


@pytest.mark.parametrize("output", ["", "/nowhere/x", "\0", "relative"])
def test_of_a_run_of_another_place_nothing_is_known(tmp_path: Path, output: str) -> None:
    assert state_of(Use(run="x", output=output, place="another 1:2")) == "unfinished"
    assert state_of(Use(run="x", output=output)) == "unfinished"
    assert state_of(Use(run="x", output=str(tmp_path / "x"))) == "unfinished"
