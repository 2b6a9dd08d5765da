"""The batch triangle."""

import pytest

from qinstruct_trainer.contract.batch import (
    BatchError,
    accumulation_steps,
    default_micro_batch_size,
    num_steps,
)


def test_what_multiplies_out() -> None:
    assert accumulation_steps(128, 4, 8) == 4
    assert default_micro_batch_size(96, 8, at_most=16) == 12
    assert num_steps(200_534, 128, epochs=1) == 1567


@pytest.mark.parametrize("global_batch_size", [100, 4])
def test_a_global_batch_that_the_processes_cannot_share(global_batch_size: int) -> None:
    with pytest.raises(BatchError) as caught:
        default_micro_batch_size(global_batch_size, 8, at_most=16)
    error = caught.value
    assert str(error) == f"{error.problem}; {error.fix}"
    assert error.problem.startswith(f"training.globalBatchSize {global_batch_size} is not")
    assert error.fix == "choose a multiple of 8"
    assert (error.exit_code, error.reason) == (78, "BadConfig")


def test_a_micro_batch_that_does_not_divide() -> None:
    with pytest.raises(BatchError) as caught:
        accumulation_steps(128, 7, 8)
    assert str(caught.value) == (
        "training.globalBatchSize 128 is not a multiple of training.microBatchSize 7 x 8 "
        "processes = 56; choose a micro-batch that divides 128/8"
    )
