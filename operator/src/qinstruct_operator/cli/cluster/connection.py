"""Connect to the cluster of a kubeconfig, and explain in a sentence what it refuses."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from qinstruct_operator.cli.terminal import sanitize
from qinstruct_operator.cluster.errors import ClusterError, Forbidden
from qinstruct_operator.cluster.port import Cluster
from qinstruct_trainer.contract.errors import ConfigError, UnavailableError

_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500


@dataclass(frozen=True)
class Connection:
    """An open connection to a cluster.

    Attributes:
        namespace: the one that the kubeconfig's context, or the pod that we run in, names.
    """

    cluster: Cluster
    namespace: str


@asynccontextmanager
async def open_connection(context: str | None) -> AsyncIterator[Connection]:
    """Connect to the cluster of a kubeconfig's context; None: the current one, or our pod's.

    Raises:
        ConfigError: no kubeconfig, or one that cannot be used, or so is the environment.
        UnavailableError: for any ClusterError while the connection was open.
    """
    try:  # half a second of imports; aiohttp begins to keep the keys of TLS while it is imported
        from qinstruct_operator.cluster.connect import connect
    except OSError as error:
        raise ConfigError(
            f"SSLKEYLOGFILE in the environment names {error.filename!r:.200}, which cannot be "
            f"written ({error.strerror}); name another file, or unset it"
        ) from error
    try:
        async with connect(context=context) as cluster:
            yield Connection(cluster, cluster.namespace)
    except ClusterError as error:
        raise UnavailableError(explain(error)) from error


def explain(error: ClusterError) -> str:
    """What went wrong, and what to do about it."""
    said = sanitize(str(error))
    if isinstance(error, Forbidden):
        return f"{said}; ask for a role that allows it, or use another --context"
    if error.status is None:
        return f"{said}; check the network, $KUBECONFIG and --context"
    return said


def is_transient(error: ClusterError) -> bool:
    """Whether the same request may succeed later: the network or the server had a problem."""
    return (
        error.status is None
        or error.status == _TOO_MANY_REQUESTS
        or (error.status >= _SERVER_ERROR)
    )


def has_kubeconfig() -> bool:
    """Whether there is a kubeconfig: $KUBECONFIG, or else ~/.kube/config."""
    named = os.environ.get("KUBECONFIG")
    if named:
        return any(Path(path).is_file() for path in named.split(os.pathsep) if path)
    try:
        return (Path.home() / ".kube" / "config").is_file()
    except RuntimeError:  # a user without a home
        return False
