"""What a fault-injecting proxy does to which requests: faults, rules and recorded requests."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from yarl import URL

Moment = Literal["before", "after"]


@dataclass(frozen=True)
class Kill:
    """Call `kill` before the request is passed on, or once the server has answered it.

    The client, should it survive, sees a broken connection.
    """

    kill: Callable[[], object]
    when: Moment


@dataclass(frozen=True)
class Answer:
    """Answer in the server's place, with a Status object as it would write it.

    Attributes:
        body: what to say instead of that, whatever it is.
    """

    status: int
    retry_after: int | None = None
    body: bytes | None = None


@dataclass(frozen=True)
class Reset:
    """Break the connection, before or after the server did what it was asked."""

    when: Moment


@dataclass(frozen=True)
class Delay:
    """Hold the request back for some seconds."""

    seconds: float


@dataclass(frozen=True)
class Precede:
    """Do something else first, e.g. another client's write, then pass the request on."""

    action: Callable[[], object]


Fault = Kill | Answer | Reset | Delay | Precede


@dataclass(frozen=True)
class Rule:
    """Which requests go wrong, and how.

    Attributes:
        method: regular expression for the whole method.
        path: regular expression to be found in the path with its query.
        body: regular expression to be found in what is sent.
        nth: first of the matching requests that goes wrong, counted from 1.
        times: how many of them go wrong, from that one on.
    """

    fault: Fault
    method: str = ".*"
    path: str = ""
    body: str = ""
    nth: int = 1
    times: int = 1

    def matches(self, exchange: "Exchange") -> bool:
        """Whether a request is one of those that are counted."""
        return bool(
            re.fullmatch(self.method, exchange.method)
            and re.search(self.path, exchange.path)
            and re.search(self.body.encode(), exchange.body)
        )


@dataclass(eq=False)
class Exchange:
    """One request of the client, recorded when it arrives.

    Attributes:
        path: as the client sent it, with the query.
        body: what it sent; empty for a read.
        content_type: of the body.
        time: of its arrival, by `time.monotonic`.
        fault: what is done to it.
        status: what the client received; None where it has received nothing (yet).
        is_answered: whether the server answered it, even if the client never learns.
    """

    method: str
    path: str
    body: bytes
    content_type: str
    time: float
    fault: Fault | None = None
    status: int | None = None
    is_answered: bool = False

    @property
    def is_write(self) -> bool:
        """Whether it was to change something."""
        return self.method not in ("GET", "HEAD", "OPTIONS")

    @property
    def is_watch(self) -> bool:
        """Whether it asked for a stream of changes."""
        return asks_for(self.path, "watch")


def asks_for(path: str, what: str) -> bool:
    """Whether the query of a path asks for something, as `watch` or `follow`."""
    return URL(path, encoded=True).query.get(what) in ("1", "true", "True")
