"""Addresses without the secrets that they may hold, for all that is shown, logged or stored.

A signed address carries its token in the query, and others a name and a password. Who fetches
takes the address itself; everything else comes through here.
"""

import hashlib
import re
from typing import Final

# Up to the next blank: a secret may have quotes and brackets in it.
# A scheme is short, so that a long word is not looked through from each of its letters.
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}://\S+")
_MAX_SHOWN: Final = 2048  # characters, as a source's may have; the time is in their square
_PUNCTUATION = ":;,.)]}\"'"  # of the text that an address ends
# Name and password, wherever they stand: an address may be a part of another one's path, lack its
# scheme, or have a password whose slash or question mark ends what a reader takes for the host.
_LOGIN: Final = re.compile(
    r"(?<=://)[^/?#]*@|(?<=://)[^/?#@\[\]]*:[0-9]*[^0-9/?#@][^@]*@|[^/\\?#@:]*:[^/\\?#]*@"
)


def shown_url(url: str) -> str:
    """An address without name, password, query and fragment; any text that is none, likewise.

    Of one that is longer than any may be, only its length.
    """
    if len(url) > _MAX_SHOWN:
        return f"(an address of {len(url):,} characters)"
    return re.split(r"[?#]", _LOGIN.sub("", url), maxsplit=1)[0]


def url_identity(url: str) -> str:
    """What tells an address from others, to be stored: with a digest in place of its secrets."""
    shown = shown_url(url)
    if shown == url:
        return url
    return f"{shown}#sha256={hashlib.sha256(url.encode('utf-8', 'replace')).hexdigest()[:16]}"


def hide_secrets(text: str) -> str:
    """A text, each address in it without its secrets."""

    def shown(match: re.Match[str]) -> str:
        url = match.group().rstrip(_PUNCTUATION)
        return shown_url(url) + match.group()[len(url) :]

    return _URL.sub(shown, text)
