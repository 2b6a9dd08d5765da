"""The errors of requests to the API server."""


class ClusterError(Exception):
    """The API server refused a request or cannot be reached; trying again may help.

    Attributes:
        status: HTTP status, or None where there was no answer.
        retry_after: seconds that the server asks us to wait, or None.
    """

    def __init__(
        self, message: str, *, status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class Conflict(ClusterError):  # noqa: N818 - the API server's own word
    """The object was changed since it was read: read it again."""


class AlreadyExists(Conflict):
    """An object of that name is there; a create changes nothing then."""


class NotFound(ClusterError):  # noqa: N818 - the API server's own word
    """The object is not there: the server names it, and says so."""


class UnknownKind(ClusterError):  # noqa: N818 - as the others
    """The server does not know the kind now, which says nothing of its objects (404)."""


class Forbidden(ClusterError):  # noqa: N818 - the API server's own word
    """The credentials may not do this, or a quota or the pod security standard forbids it (403)."""


class Refused(ClusterError):  # noqa: N818 - the object is not acceptable as it is
    """The server finds the object invalid or too large, or a webhook refuses it (400, 413, 422)."""
