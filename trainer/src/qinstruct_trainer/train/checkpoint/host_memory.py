"""Whether this machine's memory has room for a copy of the state; all ranks do the same."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from qinstruct_trainer.contract.events import say
from qinstruct_trainer.control_groups import memory_left
from qinstruct_trainer.train.checkpoint.host_copy import Described, HostBuffers, rebuild
from qinstruct_trainer.train.ranks import Ranks, gather_to_all

# Of the copy, beside it: for the page cache of what is written, and what the run has yet to take.
_RESERVE: Final = 4


class HostMemory:
    """Copies of a rank's state, where there is room for them."""

    def __init__(self, ranks: Ranks):
        self._ranks = ranks
        self._buffers = HostBuffers()
        self._has_refused = False

    def copy(
        self, states: Mapping[Path, Any], *, may_grow: bool = True
    ) -> Iterator[tuple[Path, Any]] | None:
        """Files and states as they are now, or None on all ranks. A collective call.

        Args:
            states: By file.
            may_grow: Whether more memory may be taken than is held already.
        """
        described = Described.of(states)
        missing = self._buffers.missing(described)
        node = self._ranks.rank - self._ranks.local_rank  # torchrun numbers a node's ranks in a row
        needs = gather_to_all((node, missing, memory_left()))
        if not may_grow and any(missing for _, missing, _ in needs):
            return None
        if refusal := _refusal(needs):
            if self._ranks.is_main and not self._has_refused:
                say(refusal)
            self._has_refused = True
            return None
        copied = self._buffers.copy(described)
        return ((path, rebuild(content, copied)) for path, content in described.pickles.items())

    def release(self) -> None:
        """Give the memory of the copies back; none is valid any more."""
        self._buffers.release()


def _refusal(needs: list[tuple[int, int, int]]) -> str | None:
    """Why a node is too small; of each rank: its node, the bytes it needs, those that are left."""
    for node in sorted({node for node, _, _ in needs}):
        needed = sum(missing for other, missing, _ in needs if other == node)
        left = min(left for other, _, left in needs if other == node)
        with_reserve = needed + -(-needed // _RESERVE)
        if with_reserve > left:
            return (
                f"the run waits while its checkpoints are written: a copy of its state needs "
                f"{with_reserve:,} bytes of a node's memory, with a reserve of a quarter, and "
                f"{left:,} are left; with more memory it goes on meanwhile"
            )
    return None
