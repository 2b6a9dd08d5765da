"""Deletes units, partial downloads and leftovers that no run uses.

Each under its unit's lease, as builders have it. A unit first loses its folder of uses, which is
refused when a run has come meanwhile (`prep.uses`), then its name, by one rename, and then its
files: no reader ever sees a part of it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from qinstruct_trainer.cache.choice import Conditions, choose
from qinstruct_trainer.cache.listing import Ended, Found, list_cache, num_bytes_of
from qinstruct_trainer.contract.cache import KeptEntry, Pruned
from qinstruct_trainer.contract.errors import OutputBusyError
from qinstruct_trainer.lease import Lease
from qinstruct_trainer.prep.unit_cache import HUB, UNITS, lease_of, take_away
from qinstruct_trainer.prep.uses import is_linked, remove_uses, uses_of

_OWNER: Final = "qinstruct cache prune"
_COME: Final = "a run has begun to use it"


def prune(root: Path, conditions: Conditions, ended: Ended, now: float, *, yes: bool) -> Pruned:
    """Delete what meets the conditions, or say what would be deleted.

    Args:
        root: The cache.
        conditions: What is to be deleted.
        ended: Runs that do not count any more.
        now: Unix time in seconds.
        yes: Delete it.

    Raises:
        ConfigError: it is no cache.
        OSError: it cannot be read or written; what was deleted before is deleted whole.
    """
    found = list_cache(root, now, ended)
    chosen = choose(found, conditions, now)
    kept = _delete_all(root, chosen, ended, now) if yes else ()
    names = {one.name for one in kept}
    deleted = [one for one in chosen if one.entry.name not in names]
    staying = [one for one in found if one not in deleted]
    return Pruned(
        deleted=tuple(one.entry for one in deleted),
        kept=kept,
        freed_bytes=num_bytes_of(found) - num_bytes_of(staying),
        num_bytes=num_bytes_of(staying),
        done=yes,
    )


def _delete_all(
    root: Path, chosen: Sequence[Found], ended: Ended, now: float
) -> tuple[KeptEntry, ...]:
    kept = []
    for one in chosen:
        reason = _delete(root, one, ended, now)
        if reason is not None:
            kept.append(KeptEntry(name=one.entry.name, reason=reason))
    return tuple(kept)


def _delete(root: Path, one: Found, ended: Ended, now: float) -> str | None:
    """Delete it; otherwise why it stays."""
    if is_linked(root, one.unit):
        return f"uses/{one.unit} is a link, which is not followed: delete it"
    try:
        with Lease.acquire(lease_of(root / UNITS / one.unit), _OWNER, wait=False) as lease:
            uses = () if one.entry.kind == "building" else uses_of(root, one.unit)
            if any(ended.run_of(use, now).state == "unfinished" for use in uses):
                return _COME
            # Of a partial download the lease is enough: only who holds it writes there.
            is_used_without = one.entry.kind == "unit" or one.unit == HUB
            lease.check()
            if is_used_without and not remove_uses(root, one.unit, uses):
                return _COME
            take_away(one.path, lease)
            return None
    except OutputBusyError:
        return "it is being made"
