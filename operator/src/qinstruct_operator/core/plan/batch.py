"""Global batch and micro-batch of a run. Pure."""

from qinstruct_operator.api.spec import Spec
from qinstruct_operator.catalog import recipes
from qinstruct_operator.errors import Violation
from qinstruct_trainer.contract.batch import (
    BatchError,
    accumulation_steps,
    default_micro_batch_size,
)


def global_batch_size(spec: Spec) -> int:
    """Samples of an optimizer step: the user's, or the recipe's."""
    return spec.training.global_batch_size or recipes.recipe_of(spec.size).global_batch_size


def micro_batch_size(spec: Spec, num_processes: int) -> int | Violation:
    """The user's, or by default the largest up to the recipe's that divides the global batch."""
    chosen, global_batch = spec.training.micro_batch_size, global_batch_size(spec)
    try:
        if chosen is None:
            at_most = recipes.recipe_of(spec.size).micro_batch_size
            return default_micro_batch_size(global_batch, num_processes, at_most)
        accumulation_steps(global_batch, chosen, num_processes)
    except BatchError as error:
        field, value = (
            ("globalBatchSize", global_batch) if chosen is None else ("microBatchSize", chosen)
        )
        return Violation(f"spec.training.{field}", value, error.problem, error.fix)
    return chosen
