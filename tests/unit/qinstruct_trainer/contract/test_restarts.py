import pytest

from qinstruct_trainer.contract.restarts import RESTARTS_ENV, Restarts, after_failure

FIRST = Restarts(count=1, failed_at=100.0, step=7)


def test_it_is_read_as_it_was_written() -> None:
    assert Restarts.read({RESTARTS_ENV: FIRST.model_dump_json()}) == FIRST


NONE = {
    "not set": None,
    "empty": "",
    "no JSON": "2",
    "not ours": '{"count": 1}',
    "none": '{"count": 0, "failed_at": 1, "step": 1}',
    "before time": '{"count": 1, "failed_at": -1, "step": 1}',
    "never": '{"count": 1, "failed_at": NaN, "step": 1}',
    "a step that is none": '{"count": 1, "failed_at": 1, "step": -1}',
    "more": '{"count": 1, "failed_at": 1, "step": 1, "x": 1}',
}


@pytest.mark.parametrize("value", NONE.values(), ids=NONE)
def test_what_is_not_ours_is_as_good_as_none(value: str | None) -> None:
    assert Restarts.read({} if value is None else {RESTARTS_ENV: value}) is None


@pytest.mark.parametrize(("step", "begin"), [(None, 0), (7, 7), (-1, 0)])
def test_the_first_failure(step: int | None, begin: int) -> None:
    assert after_failure(None, 100.0, step, None) == Restarts(count=1, failed_at=100.0, step=begin)


@pytest.mark.parametrize("step", [None, 3, 7])
def test_a_failure_before_the_last_one_is_made_up_for_prolongs_that(step: int | None) -> None:
    again = after_failure(FIRST, 150.0, step, None)
    assert again == Restarts(count=2, failed_at=100.0, step=7)


def test_a_failure_after_new_steps_begins_anew() -> None:
    again = after_failure(FIRST, 150.0, 9, 30.0)
    assert again == Restarts(count=2, failed_at=150.0, step=9, lost_seconds=30.0)
