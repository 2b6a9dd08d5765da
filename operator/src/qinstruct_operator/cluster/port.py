"""The interface `Cluster`: what the operator and the command line may ask of an API server.

Objects are JSON as the API server speaks it. Every method raises `ClusterError` (or a subclass)
when the server refuses or cannot be reached; nothing is retried here.
"""

from collections.abc import AsyncGenerator, Mapping
from typing import Any, Protocol

from qinstruct_operator.kinds import Kind

Resource = dict[str, Any]
"""One object of the cluster, as JSON."""


class Cluster(Protocol):
    """An API server. The operator deletes nothing: the cluster's garbage collector does."""

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Resource | None:
        """The object, or None where there is none.

        Raises:
            UnknownKind: the server does not know the kind now, so that nobody can say it.
        """
        ...

    async def list(
        self,
        kind: Kind,
        namespace: str | None,
        *,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> tuple[Resource, ...]:
        """Objects of a namespace (None: of all) that have the labels and the field values."""
        ...

    async def apply(self, manifest: Resource) -> Resource:
        """Server-side apply as our field manager, with force; the object as it is then."""
        ...

    async def patch(self, patch: Resource) -> Resource:
        """Merge patch of the object that the patch names; the object as it is then.

        What the patch does not have stays as it is, and None takes a field away.

        Raises:
            Conflict: it is not of the resourceVersion that the patch has.
            NotFound: it is gone.
        """
        ...

    async def create(self, manifest: Resource) -> Resource | None:
        """Create the object; None where one of that name exists, which is left alone."""
        ...

    async def replace_status(self, resource: Resource, status: Mapping[str, Any]) -> Resource:
        """Replace the whole status of the object as it was read; the object as it is then.

        Raises:
            Conflict: it was changed since.
            NotFound: it is gone.
        """
        ...

    async def read_log(
        self, namespace: str, pod: str, container: str, *, tail_lines: int
    ) -> tuple[str, ...]:
        """The last lines of a container's log; none where it has not started or is gone."""
        ...

    def follow_log(self, namespace: str, pod: str, container: str) -> AsyncGenerator[str, None]:
        """Every line of a container's log, and further ones until the container ends.

        Raises:
            NotFound: the pod is gone.
            Refused: the container has not started.
        """
        ...
