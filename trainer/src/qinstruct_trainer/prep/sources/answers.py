"""What a server's answer says: its status, which bytes it has, and of which version of a file."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import httpx
from pydantic import BaseModel, ConfigDict, Field

from qinstruct_trainer.prep.sources.retry import AttemptError
from qinstruct_trainer.prep.sources.spans import Span

RETRIED_STATUS: Final = frozenset({408, 416, 425, 429, 500, 502, 503, 504})
VALIDATOR: Final = r"^[ -~]{1,1000}$"
"""A validator that a request can carry, and that servers read."""
MAX_REDIRECTS: Final = 20
_Text = Annotated[str, Field(pattern=VALIDATOR)]


class Stamp(BaseModel):
    """What a server says of the version of a file that it has; None where it says nothing.

    Attributes:
        etag: Without the mark of a weak one, which a proxy may add.
        changed: `Last-Modified`.
        num_bytes: Of the whole file.
    """

    model_config = ConfigDict(frozen=True)
    etag: _Text | None = None
    changed: _Text | None = None
    num_bytes: int | None = None

    def is_of(self, other: "Stamp") -> bool | None:
        """Whether both are of one version; None where nothing can be compared.

        ETags decide before dates: machines that share their work may have copied a file at
        different times.
        """
        sizes = (self.num_bytes, other.num_bytes)
        if None not in sizes and sizes[0] != sizes[1]:
            return False
        for one, two in ((self.etag, other.etag), (self.changed, other.changed)):
            if one is not None and two is not None:
                return one == two
        return None if None in sizes else True


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


def stamp_of(response: httpx.Response) -> Stamp:
    """Of the whole file, also where the answer has a part of it."""
    num_bytes = None if _is_coded(response) else length_of(response)
    if response.status_code == httpx.codes.PARTIAL_CONTENT:
        whole = response.headers.get("content-range", "").rpartition("/")[2]
        num_bytes = int(whole) if re.fullmatch("[0-9]{1,18}", whole) else None
    texts = (response.headers.get(name, "") for name in ("etag", "last-modified"))
    etag, changed = (text if re.fullmatch(VALIDATOR, text) else None for text in texts)
    return Stamp(
        etag=etag and etag.removeprefix("W/"), changed=changed or None, num_bytes=num_bytes
    )


def divisible_bytes(response: httpx.Response) -> int | None:
    """The size of a file that its server gives in parts too; None where it may not.

    Parts of it can be joined only under a strong ETag (RFC 9110, 13.1.5), and a coding may come out
    otherwise the next time.
    """
    headers = response.headers
    gives_parts = headers.get("accept-ranges", "").lower() == "bytes"
    is_whole = response.status_code == httpx.codes.OK and not _is_coded(response)
    return length_of(response) if gives_parts and is_whole and _strong_etag(response) else None


def is_part(response: httpx.Response, span: Span, total: int | None, etag: str) -> bool:
    """Whether the answer is exactly this part of this version of a file."""
    start, end = span
    return (
        response.status_code == httpx.codes.PARTIAL_CONTENT
        and response.headers.get("content-range") == f"bytes {start}-{end - 1}/{total}"
        and length_of(response) in (None, end - start)
        and _strong_etag(response) == etag
        and not _is_coded(response)
    )


def _is_coded(response: httpx.Response) -> bool:
    """Whether the bytes are not those of the file, although they were asked for as they are."""
    encoding: str = response.headers.get("content-encoding", "identity")
    return encoding != "identity"


def _strong_etag(response: httpx.Response) -> str | None:
    etag: str = response.headers.get("etag", "")
    return etag if etag.startswith('"') and re.fullmatch(VALIDATOR, etag) else None
