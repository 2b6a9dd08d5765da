"""The command line's way into a cluster: one door, and one sentence for what bars it."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from qinstruct_operator.cli.terminal import harmless
from qinstruct_operator.cluster.errors import ClusterError, Forbidden
from qinstruct_operator.cluster.port import Cluster
from qinstruct_trainer.contract.errors import UnavailableError

_TOO_MANY = 429
_SERVER_ERROR = 500


@dataclass(frozen=True)
class Door:
    """An open way into a cluster.

    Attributes:
        namespace: the one that the kubeconfig's context, or the pod that we run in, names.
    """

    cluster: Cluster
    namespace: str


@asynccontextmanager
async def open_door(context: str | None) -> AsyncIterator[Door]:
    """The cluster of a kubeconfig's context; None: its current one, or the one we run in.

    Raises:
        ConfigError: no kubeconfig, or one that cannot be used.
        UnavailableError: whatever the cluster refused while the door was open.
    """
    from qinstruct_operator.cluster.connect import connect  # half a second of imports

    with refusals_in_a_sentence():
        async with connect(context=context) as cluster:
            yield Door(cluster, cluster.namespace)


@contextmanager
def refusals_in_a_sentence() -> Iterator[None]:
    """A refusal of the API server becomes what a person can act on.

    Raises:
        UnavailableError: in place of any ClusterError.
    """
    try:
        yield
    except ClusterError as error:
        raise UnavailableError(refusal(error)) from error


def refusal(error: ClusterError) -> str:
    """What went wrong, and the way out."""
    said = harmless(str(error))
    if isinstance(error, Forbidden):
        return f"{said}; ask for a role that allows it, or use another --context"
    if error.status is None:
        return f"{said}; check the network, $KUBECONFIG and --context"
    return said


def is_passing(error: ClusterError) -> bool:
    """Whether it is the server's or the network's trouble, which another try may survive."""
    return error.status is None or error.status == _TOO_MANY or error.status >= _SERVER_ERROR


def has_kubeconfig() -> bool:
    """Whether a kubeconfig is there: $KUBECONFIG, or else ~/.kube/config."""
    named = os.environ.get("KUBECONFIG")
    if named:
        return any(Path(path).is_file() for path in named.split(os.pathsep) if path)
    try:
        return (Path.home() / ".kube" / "config").is_file()
    except RuntimeError:  # a user without a home
        return False
