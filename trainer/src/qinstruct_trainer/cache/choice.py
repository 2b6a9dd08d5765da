"""What may be deleted of a cache, by what a person asks for. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from qinstruct_trainer.cache.listing import Found, num_bytes_of


@dataclass(frozen=True)
class Conditions:
    """All of those given must be met. What a run holds, and what is foreign, is never chosen.

    Attributes:
        unused: Not used for so many seconds.
        unreferenced: No run is known that has used it and is still there, complete or not.
        keep: Only so much, of what was not used for longest, that the cache has at most this
            number of bytes.
    """

    unused: float | None = None
    unreferenced: bool = False
    keep: int | None = None


def choose(found: Sequence[Found], conditions: Conditions, now: float) -> tuple[Found, ...]:
    """What is to be deleted, the longest unused first."""
    allowed = sorted(
        (one for one in found if _is_allowed(one, conditions, now)),
        key=lambda one: (one.entry.used, one.entry.name),
    )
    if conditions.keep is None:
        return tuple(allowed)
    chosen: list[Found] = []
    staying = list(found)
    for one in allowed:
        if num_bytes_of(staying) <= conditions.keep:
            break
        staying.remove(one)
        chosen.append(one)
    return tuple(chosen)


def _is_allowed(one: Found, conditions: Conditions, now: float) -> bool:
    entry = one.entry
    if entry.held_by or entry.kind == "foreign":
        return False
    if conditions.unused is not None and now - entry.used < conditions.unused:
        return False
    return not conditions.unreferenced or all(run.state == "gone" for run in entry.runs)
