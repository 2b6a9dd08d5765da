"""Batch arithmetic: global = micro x accumulation x world size, exactly; steps of a run.

The operator uses it when it plans and the trainer when it starts, so that both refuse
the same numbers with the same sentence.
"""

from qinstruct_trainer.contract.errors import ConfigError


class BatchError(ConfigError):
    """The three numbers do not multiply out.

    Attributes:
        problem: which number is wrong, and why.
        fix: the way out.
    """

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(f"{problem}; {fix}")
        self.problem = problem
        self.fix = fix


def accumulation_steps(global_batch_size: int, micro_batch_size: int, world_size: int) -> int:
    """Forward passes between two optimizer steps.

    Raises:
        BatchError: the three numbers do not multiply out.
    """
    per_pass = micro_batch_size * world_size
    if global_batch_size % per_pass:
        raise BatchError(
            f"training.globalBatchSize {global_batch_size} is not a multiple of "
            f"training.microBatchSize {micro_batch_size} x {world_size} processes = {per_pass}",
            f"choose a micro-batch that divides {global_batch_size}/{world_size}",
        )
    return global_batch_size // per_pass


def default_micro_batch_size(global_batch_size: int, world_size: int, at_most: int) -> int:
    """The largest micro-batch <= `at_most` that keeps the global batch exact.

    Raises:
        BatchError: the global batch does not divide by the world size at all.
    """
    share, rest = divmod(global_batch_size, world_size)
    if rest or share == 0:
        raise BatchError(
            f"training.globalBatchSize {global_batch_size} is not a multiple of {world_size} "
            "processes",
            f"choose a multiple of {world_size}",
        )
    return next(micro for micro in range(min(at_most, share), 0, -1) if share % micro == 0)


def num_steps(num_records: int, global_batch_size: int, epochs: int) -> int:
    """Optimizer steps of a run: the last batch of an epoch is filled up from its start.

    The published run does the same (drop_last False, accelerate's even_batches; recipe of
    `scripts/llava_v1.5`): 200,534 records at 128 are 1,567 steps.
    """
    return epochs * -(-num_records // global_batch_size)
