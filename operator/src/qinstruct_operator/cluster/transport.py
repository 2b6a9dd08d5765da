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

from qinstruct_operator.cluster.errors import ClusterError
from qinstruct_operator.cluster.port import Resource
from qinstruct_operator.cluster.refusals import refusal, unreachable

Query = tuple[tuple[str, str], ...]

_JSON: Final = "application/json"


class Transport:
    """Sends requests.

    Attributes:
        server: the server's URL.
        timeout: seconds for an answer to begin, and for a whole one that is not followed.
    """

    def __init__(self, client: ApiClient, timeout: float) -> None:
        self._client = client
        self.timeout = timeout
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
    ) -> Resource:
        """One request; the JSON object that answers it."""
        async with self.open(
            tried,
            method,
            path,
            query=query,
            body=body,
            content_type=content_type,
            read_timeout=self.timeout,
        ) as answer:
            text = await answer.read()
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ClusterError(
                f"{tried}: {self.server} answers with something else than a JSON object;"
                " is it an API server?"
            )
        return found

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
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One request; its answer, still to be read, where it is a success."""
        try:
            async with asyncio.timeout(self.timeout):  # for new credentials as well
                request = await self._client.param_serialize(
                    method,
                    path,
                    query_params=list(query),
                    header_params={"Accept": _JSON, "Content-Type": content_type},
                    body=body,
                    auth_settings=["BearerToken"],
                )
                wrapped = await self._client.call_api(
                    *request, _request_timeout=aiohttp.ClientTimeout(total=read_timeout)
                )
            answer: aiohttp.ClientResponse = wrapped.response
            try:
                if not answer.ok:
                    raise refusal(tried, answer.status, answer.headers, await answer.read())
                yield answer
            finally:
                answer.close()  # no effect where it was read to its end: the connection is reused
        except (aiohttp.ClientError, OSError) as error:  # OSError: TimeoutError, a token file
            raise unreachable(tried, self.server, error, self.timeout) from error
