"""Why a connection failed, in our words, and whether another attempt may end otherwise.

What a server sends could be any text, so nothing of it is told. The words of h11 are read here,
which has no other sign of what is wrong; one that is not known counts as what does not heal.
"""

import os
import socket
import ssl
from collections.abc import Iterator
from typing import Final

import httpx

TLS: Final = "the server speaks TLS at a port that was asked without; write https:// in its address"
NO_HTTP: Final = "what the server sends is no HTTP"

_HEALING: Final = (
    ("Server disconnected", "the connection was closed before the answer had come"),
    ("peer closed connection", "the connection was closed before all of the file had come"),
    ("illegal chunk header", "a part of the file came without its length"),
)
_LASTING: Final = (
    (TLS, TLS),
    ("illegal header line", "a header of the server's answer is no HTTP"),
    ("Receive buffer too long", "what the server sends around the file, as headers, is too long"),
    ("bad Content-Length", "the server gives a length that is no number"),
    ("conflicting Content-Length", "the server gives two lengths of one file"),
    ("Only Transfer-Encoding", "the server sends the file in a coding that nobody asked for"),
    ("multiple Transfer-Encoding", "the server sends the file in a coding that nobody asked for"),
    ("Received server", "the server changes to another protocol"),
)
_OF_TLS: Final = {
    "WRONG_VERSION_NUMBER": "the server does not speak TLS at this port; write http:// in its "
    "address if that is meant",
    "CERTIFICATE_VERIFY_FAILED": "the server's certificate is not believed; name the file of its "
    "authority in SSL_CERT_FILE, or correct the address",
}
_BY_KIND: Final[dict[type[httpx.TransportError], str]] = {
    httpx.ConnectTimeout: "no connection came about in time",
    httpx.ReadTimeout: "nothing came for too long",
    httpx.WriteTimeout: "the server does not take what is asked",
    httpx.UnsupportedProtocol: "it leads to an address that begins with neither https:// nor "
    "http://",
    httpx.LocalProtocolError: "it cannot be asked for in HTTP",
}


def first_bytes_fault(head: bytes, *, is_end: bool) -> str | None:
    """What is wrong with the first bytes of an answer; None: nothing that they show.

    Args:
        head: At most five of them.
        is_end: Whether the connection was closed behind them.
    """
    if head[:2] in (b"\x15\x03", b"\x16\x03"):
        return TLS
    is_http = b"HTTP/".startswith(head)
    return NO_HTTP if is_end and not is_http else None


def why_failed(error: BaseException) -> str:
    """Why a connection failed, as a part of a sentence."""
    if isinstance(error, httpx.RemoteProtocolError):
        known = (*_HEALING, *_LASTING)
        return next((words for sign, words in known if str(error).startswith(sign)), NO_HTTP)
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError):
            reason = cause.reason or "no reason is given"
            return _OF_TLS.get(reason, f"{type(error).__name__} ({reason})")
        if isinstance(cause, OSError) and cause.errno:
            # Of names the resolver has numbers of its own.
            said = os.strerror(cause.errno) if cause.errno > 0 else cause.strerror
            return f"{type(error).__name__} ({said})"
    by_kind = (words for kind, words in _BY_KIND.items() if isinstance(error, kind))
    return next(by_kind, type(error).__name__)


def is_lasting(error: BaseException) -> bool:
    """Whether each attempt will end so: what a server speaks, not how its answer broke off."""
    if isinstance(error, httpx.RemoteProtocolError):
        return not any(str(error).startswith(sign) for sign, _ in _HEALING)
    if isinstance(error, (httpx.UnsupportedProtocol, httpx.LocalProtocolError)):
        return True
    return is_of_tls(error)


def is_of_tls(error: BaseException) -> bool:
    """Whether no TLS came about: by the server, or by our authorities, our clock or our proxy."""
    return any(isinstance(each, ssl.SSLError) and each.reason in _OF_TLS for each in _causes(error))


def is_unknown_name(error: BaseException) -> bool:
    """Whether a connection failed because nobody knows its host's name."""
    gone = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
    return any(isinstance(each, socket.gaierror) and each.errno in gone for each in _causes(error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
