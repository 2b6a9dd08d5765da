"""Replies to a watch that no API server gives, or seldom, each by name."""

from collections.abc import Callable
from typing import Final

from cluster.clients.fault_rules import Answer, Rule
from cluster.clients.proxy import FaultProxy, error_event
from qinstruct_operator.constants import PLURAL

RUNS_WATCH: Final = f"/{PLURAL}\\?.*watch=true"
HTML: Final = b"<html><body>Please log in</body></html>"

Disturb = Callable[[FaultProxy], object]
"""Let a watch of the runs go wrong once: the one that is open, or the next."""


def says(line: bytes, *, keep_open: bool = True) -> Disturb:
    """The open watch of the runs says this."""
    return lambda proxy: proxy.end_watches(line, PLURAL, keep_open=keep_open)


def answers(status: int, body: bytes | None = None, times: int = 1) -> Disturb:
    """The next watch of the runs is answered so."""

    def disturb(proxy: FaultProxy) -> None:
        proxy.add(Rule(Answer(status, body=body), path=RUNS_WATCH, times=times))
        proxy.end_watches(b"", PLURAL)

    return disturb


DISTURBANCES: Final[dict[str, Disturb]] = {
    "garbage line": says(b"\x00\xffgarbage\n"),
    "HTML line": says(HTML + b"\n"),
    "error 500": says(error_event(500)),
    "error 410": says(error_event(410)),
    "error without status": says(b'{"type": "ERROR", "object": "no"}\n'),
    "truncated JSON": says(b'{"type": "ADDED", "object": {"metadata"\n'),
    "closed in mid line": says(b'{"type": "ADDED", "object": {"meta', keep_open=False),
    "a list": says(b"[]\n"),
    "a number": says(b"1\n"),
    "an unknown type": says(b'{"type": "RENAMED", "object": {"metadata": {}}}\n'),
    "no object": says(b'{"type": "ADDED"}\n'),
    "no metadata": says(b'{"type": "ADDED", "object": {}}\n'),
    "no name": says(b'{"type": "MODIFIED", "object": {"metadata": {"uid": "u"}}}\n'),
    "nested without end": says(b"[" * 100_000 + b"\n"),
    "an endless line": says(b"x" * (17 * 2**20)),
    "401 once": answers(401),
    "401 thrice": answers(401, times=3),
    "403": answers(403),
    "404": answers(404),
    "404 page": answers(404, b"404 page not found"),
    "409": answers(409),
    "410": answers(410),
    "429": answers(429),
    "500": answers(500),
    "503 page": answers(503, HTML),
    "200 HTML": answers(200, HTML),
    "200 nothing": answers(200, b""),
    "200 JSON of another kind": answers(200, b'{"kind": "Status"}\n'),
}
UNTOLD: Final = ("401 once",)
"""Sent once more with the credentials read again, and it works: nothing to tell."""
