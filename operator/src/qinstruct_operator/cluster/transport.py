"""One request to an API server over kubernetes.aio, and its answer. Needs the cluster.

No exception of aiohttp or kubernetes escapes: a failure is a `ClusterError`.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
from kubernetes.aio.client.api_client import ApiClient

from qinstruct_operator.cluster.credentials import Credentials
from qinstruct_operator.cluster.errors import ClusterError
from qinstruct_operator.cluster.port import Resource
from qinstruct_operator.cluster.refusals import refusal, sentence, unreachable
from qinstruct_operator.cluster.server_clock import ServerClock
from qinstruct_trainer.contract.errors import ConfigError

Query = tuple[tuple[str, str], ...]

_JSON: Final = "application/json"
_UNAUTHORIZED: Final = 401


class Transport:
    """Sends requests.

    Attributes:
        server: the server's URL.
        timeout: seconds for an answer to begin, and for a whole one that is not followed.
        clock: the server's.
    """

    def __init__(
        self, client: ApiClient, timeout: float, credentials: Credentials | None = None
    ) -> None:
        self._client = client
        self._credentials = credentials
        self.timeout = timeout
        self.clock = ServerClock()
        self.server = str(client.configuration.host)

    async def send(
        self,
        tried: str,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: Resource | None = None,
        content_type: str = _JSON,
        accept: str = _JSON,
    ) -> Resource:
        """One request; the JSON object that answers it."""
        async with self.open(
            tried,
            method,
            path,
            query=query,
            body=body,
            content_type=content_type,
            accept=accept,
            read_timeout=self.timeout,
        ) as answer:
            text = await answer.read()
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):  # the latter: brackets without end
            found = None
        if not isinstance(found, dict):
            raise ClusterError(
                f"{tried}: {self.server} answers with something else than a JSON object;"
                " is it an API server?"
            )
        return found

    async def pages(
        self, tried: str, path: str, *, query: Query, accept: str = _JSON
    ) -> AsyncIterator[Resource]:
        """The pages of a list, each as the server answers it.

        Raises:
            ClusterError: the server refused one, or cannot be reached.
        """
        more: Query = ()
        while True:
            page = await self.send(tried, "GET", path, query=query + more, accept=accept)
            yield page
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return
            more = (("continue", token),)

    @asynccontextmanager
    async def open(
        self,
        tried: str,
        method: str,
        path: str,
        *,
        query: Query,
        read_timeout: float | None,
        body: Resource | None = None,
        content_type: str = _JSON,
        accept: str = _JSON,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One request; its answer, still to be read, where it is a success.

        After a 401, with which nothing has been done, it is sent once more with new credentials.
        """
        headers = {"Accept": accept, "Content-Type": content_type}
        try:
            async with asyncio.timeout(self.timeout):  # for new credentials as well
                if self._credentials:
                    await self._credentials.refresh()
                answer = await self._begin(method, path, query, headers, body, read_timeout)
                if answer.status == _UNAUTHORIZED and self._credentials:
                    answer.close()
                    await self._credentials.renew()
                    answer = await self._begin(method, path, query, headers, body, read_timeout)
            try:
                if not answer.ok:
                    raise refusal(tried, answer.status, answer.headers, await answer.read())
                self.clock.heard(answer.headers.get("Date"))
                yield answer
            finally:
                answer.close()  # no effect where it was read to its end: the connection is reused
        except ConfigError as error:  # of the credentials; they may be mended meanwhile
            raise ClusterError(sentence(tried, str(error))) from error
        except (aiohttp.ClientError, OSError) as error:  # OSError: TimeoutError too
            raise unreachable(tried, self.server, error, self.timeout) from error

    async def _begin(
        self,
        method: str,
        path: str,
        query: Query,
        headers: dict[str, str],
        body: Resource | None,
        read_timeout: float | None,
    ) -> aiohttp.ClientResponse:
        request = await self._client.param_serialize(
            method,
            path,
            query_params=list(query),
            header_params=dict(headers),
            body=body,
            auth_settings=["BearerToken"],
        )
        wrapped = await self._client.call_api(
            *request, _request_timeout=aiohttp.ClientTimeout(total=read_timeout)
        )
        answer: aiohttp.ClientResponse = wrapped.response
        return answer
