"""Turn a failed request to an API server into one of our errors, with a sentence. Pure."""

import json
from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from qinstruct_operator.cluster.errors import (
    AlreadyExists,
    ClusterError,
    Conflict,
    Forbidden,
    NotFound,
    Refused,
    UnknownKind,
)

_ERRORS: Final[Mapping[int, type[ClusterError]]] = {
    400: Refused,
    403: Forbidden,
    409: Conflict,
    413: Refused,  # too large, which is as permanent as an invalid field
    422: Refused,
}
_ADMISSION: Final = "admission webhook "  # how the server begins the refusal of any webhook
_NO_PAGE: Final = b"404 page not found"  # the server's word for a path that it does not serve
_NO_KIND: Final = "the cluster does not know this kind; is its CustomResourceDefinition installed?"
_MAX_CHARS: Final = 400
_TAIL_CHARS: Final = 120


def refusal(tried: str, status: int, headers: Mapping[str, str], body: bytes) -> ClusterError:
    """The error of an HTTP answer that is not a success.

    Args:
        tried: what was asked, e.g. `apply Job team/run-prep`.
        status: HTTP status.
        headers: headers of the answer.
        body: a `Status` object, or whatever a proxy or a web server on the way says.
    """
    said = _status(body)
    message = said.get("message") or _text(status, body)
    error = _ERRORS.get(status, ClusterError)
    if status == 404:
        error = _not_found(said, body)
        if said and error is UnknownKind:
            message = f"{message}: {_NO_KIND}"
    if status == 409 and said.get("reason") == AlreadyExists.__name__:
        error = AlreadyExists  # not a quota that was changed at the same moment
    if status in (403, 404, 409) and message.startswith(_ADMISSION):
        # A webhook that gives no code of its own answers 403, but it is the object that it
        # refuses, not the credentials; with 409 it means no write of somebody else.
        error = Refused
    return error(sentence(tried, message), status=status, retry_after=_retry_after(said, headers))


def unreachable(tried: str, server: str, error: Exception, timeout: float) -> ClusterError:
    """The error of a request that got no whole answer."""
    cause = error
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
    elif isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
    elif isinstance(error, aiohttp.ClientPayloadError):
        cause = ConnectionError("the connection was lost in the middle of the answer")
    reason = f"no answer within {timeout:g} s" if isinstance(cause, TimeoutError) else str(cause)
    return ClusterError(
        sentence(tried, f"no answer from {server}: {reason or type(cause).__name__}")
    )


def sentence(tried: str, message: str) -> str:
    """One printable line of bounded length: messages quote what users and programs wrote."""
    # The middle goes: the reason is at the end of a message that quotes a whole object.
    if len(message) > _MAX_CHARS:
        message = f"{message[: _MAX_CHARS - _TAIL_CHARS]} ... {message[-_TAIL_CHARS:]}"
    text = " ".join(f"{tried}: {message}".split())
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def _not_found(said: Mapping[str, Any], body: bytes) -> type[ClusterError]:
    """What a 404 says: no such object, no such kind, or nothing.

    Only who knows the kind names the object that it has looked for. A kind is not known while its
    definition is made again or its server starts, and its objects may be there all the same.
    """
    details = _details(said)
    if said.get("reason") == NotFound.__name__ and details.get("name") and details.get("kind"):
        return NotFound
    is_of_server = said or body.strip() == _NO_PAGE
    return UnknownKind if is_of_server else ClusterError  # the latter of a proxy on the way


def _status(body: bytes) -> dict[str, Any]:
    """The `Status` object of an answer; empty where it is something else."""
    try:
        said = json.loads(body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) and said.get("kind") == "Status" else {}


def _details(said: Mapping[str, Any]) -> Mapping[str, Any]:
    details = said.get("details")
    return details if isinstance(details, dict) else {}


def _text(status: int, body: bytes) -> str:
    if status == 404 and body.strip() == _NO_PAGE:
        return _NO_KIND
    return f"HTTP {status} {body.decode('utf-8', 'replace').strip()}".strip()


def _retry_after(said: Mapping[str, Any], headers: Mapping[str, str]) -> float | None:
    details = _details(said)
    seconds = headers.get("Retry-After") or details.get("retryAfterSeconds")
    try:
        return max(0.0, float(seconds)) if seconds else None
    except ValueError:  # an HTTP date: legal, though no API server writes one
        return None
