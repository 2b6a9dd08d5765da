"""A rate-limiting work queue: no key is processed twice at a time. Needs an event loop.

As in controller-runtime, an event only names a run, and one that is added while it is processed
is processed once more afterwards. kopf's own queues are per watched object, so passes caused by
a run and by its children would overlap.

The tenants of a cluster take turns: however much happens to the runs of one, the next worker that
is free is another's if it waits.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from qinstruct_operator.cluster.errors import ClusterError, Conflict

Key = TypeVar("Key", bound=Hashable)

_log = logging.getLogger(__name__)
_CONFLICT_SECONDS = 0.1


def _one_tenant(_: object) -> Hashable:
    return None


class _Turns(Generic[Key]):
    """Keys that are due. Their tenants take turns; a tenant's keys with an event go first."""

    def __init__(self, tenant: Callable[[Key], Hashable]) -> None:
        self._tenant = tenant
        # Dicts as sets that keep their order: of a tenant's keys with an event, and by the clock.
        self._due: dict[Hashable, tuple[dict[Key, None], dict[Key, None]]] = {}

    def __len__(self) -> int:
        return sum(len(event) + len(timed) for event, timed in self._due.values())

    def add(self, key: Key, *, is_event: bool) -> bool:
        """Whether it is new; one that the clock added may still move to those with an event."""
        event, timed = self._due.setdefault(self._tenant(key), ({}, {}))
        is_new = key not in event and key not in timed
        if is_event:
            timed.pop(key, None)
            event[key] = None
        elif is_new:
            timed[key] = None
        return is_new

    def pop(self) -> Key:
        """The first key of the tenant whose turn it is."""
        tenant, (event, timed) = next(iter(self._due.items()))
        first = event or timed
        key = next(iter(first))
        del first[key], self._due[tenant]
        if event or timed:
            self._due[tenant] = event, timed  # behind the others
        return key


class WorkQueue(Generic[Key]):
    """Calls `work(key)` for every added key; what it returns is the delay of the next call.

    Attributes:
        work: one pass; returns seconds until the next, or None. After a `ClusterError` or a bug
            the key is tried again, after 1, 2, 4 ... seconds, at most `max_backoff`. An error is
            logged once, until it is another one or gone.
        tenant: of a key; tenants take turns.
        troubles: the error of each key whose newest pass failed.
    """

    def __init__(
        self,
        work: Callable[[Key], Awaitable[float | None]],
        *,
        workers: int = 16,
        max_backoff: float = 60.0,
        tenant: Callable[[Key], Hashable] = _one_tenant,
    ) -> None:
        self._work = work
        self._num_workers = workers
        self._max_backoff = max_backoff
        self._due = _Turns(tenant)
        self._active: set[Key] = set()
        self._again: set[Key] = set()  # added while active
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}
        self.troubles: dict[Key, ClusterError] = {}
        self._ready = asyncio.Semaphore(0)

    def __len__(self) -> int:
        """Keys that are due and not yet worked on."""
        return len(self._due)

    def add(self, key: Key) -> None:
        """Work on it as soon as possible: something happened to it."""
        if timer := self._timers.pop(key, None):
            timer.cancel()
        if key in self._active:
            self._again.add(key)
        elif self._due.add(key, is_event=True):
            self._ready.release()

    def add_after(self, key: Key, seconds: float) -> None:
        """Work on it then, unless something happens before."""
        if timer := self._timers.pop(key, None):
            timer.cancel()
        self._timers[key] = asyncio.get_running_loop().call_later(seconds, self._add_timed, key)

    def _add_timed(self, key: Key) -> None:
        del self._timers[key]
        if self._due.add(key, is_event=False):
            self._ready.release()

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._num_workers):
                    group.create_task(self._worker())
        finally:
            for timer in self._timers.values():
                timer.cancel()

    async def _worker(self) -> None:
        while True:
            await self._ready.acquire()
            key = self._due.pop()
            self._active.add(key)
            delay = await self._attempt(key)
            self._active.discard(key)
            if key in self._again:
                self._again.discard(key)
                self.add(key)
            elif delay is not None:
                self.add_after(key, delay)

    async def _attempt(self, key: Key) -> float | None:
        """One call of `work`; the delay until the next."""
        try:
            delay = await self._work(key)
        except Conflict:
            return _CONFLICT_SECONDS  # changed by another writer: read again
        except ClusterError as error:
            self._note(key, error)
            return max(self._backoff(key), min(error.retry_after or 0.0, self._max_backoff))
        except Exception:  # noqa: BLE001 - a bug in one run must not stop the others
            _log.exception("%s: a bug, tried again later", key)
            return self._backoff(key)
        self._failures.pop(key, None)
        self.troubles.pop(key, None)
        return delay

    def _note(self, key: Key, error: ClusterError) -> None:
        before = self.troubles.get(key)
        if str(before) != str(error):
            _log.warning("%s: %s; tried again until it works", key, error)
        self.troubles[key] = error

    def _backoff(self, key: Key) -> float:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        return float(min(2**failures, self._max_backoff))
