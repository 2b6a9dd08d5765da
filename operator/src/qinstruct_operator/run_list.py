"""A periodic list of the runs beside the watch: what the watch did not tell gets a pass as well.

Only metadata is asked for, page by page. A run needs a pass when it, or its generation, is not
known here. Needs the cluster and an event loop.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from qinstruct_operator.cluster.errors import ClusterError
from qinstruct_operator.cluster.transport import Transport
from qinstruct_operator.cluster.url_paths import api_path
from qinstruct_operator.hearing import Hearing
from qinstruct_operator.kinds import TRAINING

Key = tuple[str, str]
"""Namespace and name of a run."""

_log = logging.getLogger(__name__)
_METADATA: Final = (
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
)
_PAGE: Final = "500"


class RunList:
    """Knows which runs there are, from watch and list alike.

    Args:
        transport: sends the requests.
        hearing: is told whether they succeed.
        namespaces: those to list; None in it: all.
        add: called with a run that needs a pass.
    """

    def __init__(
        self,
        transport: Transport,
        hearing: Hearing,
        namespaces: Callable[[], Collection[str | None]],
        add: Callable[[Key], None],
    ) -> None:
        self._transport = transport
        self._hearing = hearing
        self._namespaces = namespaces
        self._add = add
        self._known: dict[Key, object] = {}

    def tell(self, metadata: Mapping[str, Any]) -> None:
        """The watch has told of this run."""
        self._known[_key(metadata)] = _state(metadata)

    async def run(self, seconds: float) -> None:
        """List at this interval until cancelled; the first time after one interval."""
        while True:
            await asyncio.sleep(seconds)
            for namespace in tuple(self._namespaces()):
                await self.look(namespace)

    async def look(self, namespace: str | None) -> None:
        """List once, and add what is not known."""
        what = f"list {TRAINING.plural} of {namespace or 'all namespaces'}"
        before = {key for key in self._known if namespace in (None, key[0])}
        try:
            listed = await self._list(what, namespace)
        except ClusterError as error:
            self._hearing.failed(what, error)
            return
        self._hearing.succeeded(what, runs=True)
        unknown = {key: state for key, state in listed.items() if self._known.get(key) != state}
        for key in before - listed.keys():
            self._known.pop(key, None)
        self._known |= unknown
        for key in unknown:
            self._add(key)
        if unknown:
            _log.info("%s: %d runs that no watch has told of yet", what, len(unknown))

    async def _list(self, what: str, namespace: str | None) -> dict[Key, object]:
        path, query = api_path(TRAINING, namespace), (("limit", _PAGE),)
        listed: dict[Key, object] = {}
        try:
            async for page in self._transport.pages(what, path, query=query, accept=_METADATA):
                if not isinstance(page["metadata"], dict):
                    raise ClusterError(f"{what}: the answer is no list of objects")
                for one in page["items"]:
                    listed[_key(one["metadata"])] = _state(one["metadata"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ClusterError(f"{what}: the answer is no list of objects") from error
        return listed


def _key(metadata: Mapping[str, Any]) -> Key:
    return metadata["namespace"], metadata["name"]


def _state(metadata: Mapping[str, Any]) -> object:
    return metadata["uid"], metadata.get("generation")
