"""Warnings about a valid plan: files that are not pinned, a GPU that is nearly full. Pure."""

from collections.abc import Iterator
from typing import Final

from qinstruct_operator.core.plan.types import Plan
from qinstruct_trainer.contract.config import TRUSTED_DAYS

_TIGHT: Final = 0.9  # share of a GPU's memory from which fragmentation alone can end a run


def warnings(plan: Plan) -> Iterator[str]:
    """What is allowed but may go wrong, one sentence each."""
    loose = [s.name for s in plan.prep_config.sources if not s.is_pinned]
    if loose:
        yield (
            f"{', '.join(loose)}: no sha256 given, nor a whole commit (40 hexadecimal digits) as "
            "revision, so whatever the server sends is taken; set data.sources.<name>.sha256 to "
            "pin it"
        )
    if again := [s.name for s in plan.prep_config.sources if s.is_asked_again]:
        yield (
            f"{', '.join(again)}: a file that is in the cache is checked again after "
            f"{TRUSTED_DAYS} days, and a new run takes what its server has then; a run that was "
            "prepared keeps its own"
        )
    mirrored = [s.name for s in plan.prep_config.sources if s.mirrors and s.sha256 is None]
    if held_by_revision := [name for name in mirrored if name not in loose]:
        yield (
            f"{', '.join(held_by_revision)}: a mirror may send another version than the one that "
            "revision names; set data.sources.<name>.sha256 to hold all addresses to one file"
        )
    if plan.memory is not None and plan.memory.total > _TIGHT * plan.memory.available:
        yield (
            f"the worst batch takes {plan.memory.total / plan.memory.available:.0%} of a GPU's "
            "memory; a smaller training.microBatchSize gives the same result with more room"
        )
