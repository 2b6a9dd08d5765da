import pytest

from qinstruct_trainer.contract.batch import (
    BatchError,
    accumulation_steps,
    default_micro_batch_size,
    num_steps,
)
from qinstruct_trainer.contract.errors import ConfigError


def test_accumulation_makes_up_the_global_batch() -> None:
    assert accumulation_steps(128, 4, 8) == 4
    assert accumulation_steps(128, 16, 8) == 1


def test_a_global_batch_that_is_no_multiple_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"128 is not a multiple of .* 3 x 8 processes = 24"):
        accumulation_steps(128, 3, 8)


@pytest.mark.parametrize(
    ("global_batch_size", "world_size", "at_most", "expected"),
    [
        (128, 8, 16, 16),
        (128, 8, 15, 8),
        (128, 8, 64, 16),
        (24, 8, 2, 1),
        (7, 1, 6, 1),
        (8, 8, 16, 1),
    ],
)
def test_the_default_micro_batch_is_the_largest_that_divides(
    global_batch_size: int, world_size: int, at_most: int, expected: int
) -> None:
    found = default_micro_batch_size(global_batch_size, world_size, at_most)
    assert found == expected
    assert accumulation_steps(global_batch_size, found, world_size) * found * world_size == (
        global_batch_size
    )


@pytest.mark.parametrize("global_batch_size", [12, 4])
def test_a_global_batch_that_the_processes_cannot_share_is_refused(global_batch_size: int) -> None:
    with pytest.raises(ConfigError) as caught:
        default_micro_batch_size(global_batch_size, 8, 16)
    assert str(caught.value) == (
        f"training.globalBatchSize {global_batch_size} is not a multiple of 8 processes; "
        "choose a multiple of 8"
    )


@pytest.mark.parametrize(
    ("num_records", "epochs", "expected"), [(200_534, 1, 1567), (128, 1, 1), (129, 3, 6)]
)
def test_the_last_batch_of_an_epoch_is_filled_up(
    num_records: int, epochs: int, expected: int
) -> None:
    assert num_steps(num_records, 128, epochs) == expected


def test_a_refusal_carries_the_problem_and_the_fix() -> None:
    with pytest.raises(BatchError) as caught:
        accumulation_steps(128, 7, 8)
    error = caught.value
    assert str(error) == f"{error.problem}; {error.fix}"
    assert error.fix == "choose a micro-batch that divides 128/8"
    assert (error.exit_code, error.reason) == (78, "BadConfig")
