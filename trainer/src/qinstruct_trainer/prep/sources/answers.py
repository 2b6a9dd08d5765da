"""What a server's answer says: its status, which bytes it has, and of which version of a file."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import httpx

from qinstruct_trainer.prep.sources.retry import AttemptError

RETRIED_STATUS: Final = frozenset({408, 416, 425, 429, 500, 502, 503, 504})
VALIDATOR: Final = r"^[ -~]{1,1000}$"
"""A validator that a request can carry, and that servers read."""
MAX_REDIRECTS: Final = 20


@contextmanager
def final_answer(client: httpx.Client, request: httpx.Request) -> Iterator[httpx.Response]:
    """The answer behind all redirects. What a redirect says besides its address is not read."""
    for _ in range(MAX_REDIRECTS + 1):
        response = client.send(request, stream=True)
        try:
            if response.next_request is None:
                yield response
                return
            request = response.next_request
        finally:
            response.close()
    raise httpx.TooManyRedirects(f"more than {MAX_REDIRECTS} redirects")


def status_sentence(response: httpx.Response) -> str:
    """What a server answers, by the standard's phrase: that of the server could be any text."""
    status = response.status_code
    return f"the server answers {status} {httpx.codes.get_reason_phrase(status)}".strip()


def continues_at(response: httpx.Response, have: int, total: int | None) -> bool:
    """Whether the answer is the rest that was asked for, and not the whole file again.

    Raises:
        AttemptError: it is another part.
    """
    if response.status_code != httpx.codes.PARTIAL_CONTENT:
        return False
    content_range = response.headers.get("content-range", "")
    span, _, whole = content_range.removeprefix("bytes ").partition("/")
    if span.partition("-")[0] != str(have) or (total is not None and whole != str(total)):
        raise AttemptError("the server sends another range than was asked for")
    return True


def length_of(response: httpx.Response) -> int | None:
    """How many bytes the body has; None where the server does not say it."""
    length = response.headers.get("content-length", "")
    return int(length) if length.isdecimal() else None


def validator_of(response: httpx.Response) -> str | None:
    """What If-Range may carry: a strong ETag, else the date of the last change."""
    etag: str = response.headers.get("etag", "")
    changed: str = response.headers.get("last-modified", "")
    validator = changed if not etag or etag.startswith("W/") else etag
    return validator if re.fullmatch(VALIDATOR, validator) else None
