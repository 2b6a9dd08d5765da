import os
from pathlib import Path

import pytest

from qinstruct_trainer.lease import Lease
from qinstruct_trainer.lease.holder import Holder
from qinstruct_trainer.lease.takeover import Takeover, claim, is_free, newest_number

ALIVE = Holder.this_process("other")
ELSEWHERE = ALIVE.model_copy(update={"machine": "another boot pid:[1]"})
FOREVER = 3600.0


@pytest.fixture
def lease(tmp_path: Path) -> Path:
    return tmp_path / "lease"


def write(lease: Path, number: int, holder: Holder) -> None:
    lease.with_name(f"lease.{number}").write_bytes(holder.to_bytes())


def test_a_lease_that_nobody_held_is_number_1(lease: Path) -> None:
    assert newest_number(lease) == 0
    assert Takeover(lease, FOREVER).free_number() == 1


def test_the_highest_number_counts(lease: Path) -> None:
    for number in (9, 10):
        write(lease, number, ALIVE.model_copy(update={"released": number == 10}))
    lease.with_name("lease.old").touch()
    assert newest_number(lease) == 10
    assert Takeover(lease, FOREVER).free_number() == 11


@pytest.mark.parametrize("change", [{"released": True}, {"born": "1"}], ids=["released", "dead"])
def test_a_holder_that_is_gone_is_replaced_at_once(change: dict[str, object], lease: Path) -> None:
    write(lease, 1, ALIVE.model_copy(update=change))
    assert Takeover(lease, FOREVER).free_number() == 2


def test_a_process_on_this_machine_is_alive(lease: Path) -> None:
    write(lease, 1, ALIVE)
    takeover = Takeover(lease, FOREVER)
    assert takeover.free_number() is None
    assert (takeover.owner, takeover.is_holder_alive) == ("other", True)


def test_one_elsewhere_is_alive_once_a_heartbeat_was_seen(lease: Path) -> None:
    takeover = Takeover(lease, FOREVER)
    for beat, alive in ((0, False), (0, False), (1, True)):
        write(lease, 1, ELSEWHERE.model_copy(update={"beat": beat}))
        assert takeover.free_number() is None
        assert takeover.is_holder_alive is alive


def test_another_holder_is_watched_anew(lease: Path) -> None:
    takeover = Takeover(lease, FOREVER)
    for number in (1, 2):
        write(lease, number, ELSEWHERE)
        assert takeover.free_number() is None
    assert not takeover.is_holder_alive


def test_a_holder_that_stays_silent_is_replaced(lease: Path) -> None:
    write(lease, 1, ELSEWHERE)
    takeover = Takeover(lease, stale_seconds=0.0)
    takeover.free_number()
    assert takeover.free_number() == 2


def test_one_of_two_that_claim_gets_it(lease: Path) -> None:
    write(lease, 1, ALIVE)
    first, second = claim(lease, 2, ALIVE), claim(lease, 2, ELSEWHERE)
    assert first is not None
    os.close(first)
    assert second is None
    assert [path.name for path in lease.parent.iterdir()] == ["lease.2"]
    assert Holder.parse(lease.with_name("lease.2").read_bytes()) == ALIVE


def test_a_number_that_is_out_of_date_is_not_claimed(lease: Path) -> None:
    write(lease, 5, ALIVE)
    assert claim(lease, 3, ELSEWHERE) is None
    assert [path.name for path in lease.parent.iterdir()] == ["lease.5"]


def test_a_lease_is_free_before_it_is_taken_and_after_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "leases/x"
    assert is_free(path)
    with Lease.acquire(path, "x"):
        assert not is_free(path)
    assert is_free(path)


@pytest.mark.parametrize("content", [b"", b"{}"])
def test_of_a_holder_that_nothing_is_known_of_the_lease_is_not_free(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "x.1").write_bytes(content)
    assert not is_free(tmp_path / "x")
