"""Which settings of the net can be used: operator and prep ask here, and say the same. Pure."""

import ipaddress
import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

PROXY_SCHEMES: Final = ("http", "https", "socks5", "socks5h")
HUB_SCHEMES: Final = ("https", "http")
EXEMPTIONS_FORM: Final = "write HOST or HOST:PORT, and addresses without brackets"
BANDWIDTH_FORM: Final = "write it as 50M or 100Mi"

_MIN_BANDWIDTH: Final = 100_000  # one read may have 64 KiB, and a server does not wait for ever
_QUANTITY: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)(|k|M|G|T|Ki|Mi|Gi|Ti)", re.ASCII)
_FACTORS: Final[dict[str, int]] = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12} | {
    f"{letter}i": 1024**power for power, letter in enumerate("KMGT", 1)
}


def why_no_address(text: str, schemes: Sequence[str]) -> str | None:
    """Why a client could not use it as a server's address; None: it can."""
    try:
        url = urlsplit(text)
        port, host = url.port, url.hostname
    except ValueError:  # brackets that do not close, a port that is none
        return "is no address"
    if url.scheme not in schemes or not host or port == 0 or not text.isprintable() or " " in text:
        *others, last = (f"{each}://" for each in schemes)
        known = f"{', '.join(others)} or {last}"
        return f"is no address of a host that begins with {known}"
    return None


def why_no_exemptions(text: str) -> str | None:
    """Why `NO_PROXY` may not be it; None: it may."""
    for entry in (part.strip() for part in text.split(",")):
        try:
            ipaddress.ip_network(entry, strict=False)
        except ValueError:
            host, _, port = entry.rpartition("://")[2].partition(":")
            is_host = host.isascii() and host.isprintable()
            if not is_host or (port and not port.isdecimal()) or int(port[:9] or 0) > 65535:
                return f"has {entry!r:.80}, which is neither a name nor an address"
    return None


def why_no_network(text: str) -> str | None:
    """Why it is no range of addresses; None: it is.

    One with bits behind its prefix may be meant as the range or as the one address.
    """
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return "is not a network"
    address = ipaddress.ip_address(text.partition("/")[0])
    if address == network.network_address:
        return None
    return (
        f"is not a network: {address} has bits behind its prefix, so that it may mean {network} or "
        f"{address}/{address.max_prefixlen}"
    )


def bytes_per_second(text: str) -> float:
    """A bound of all downloads together.

    Raises:
        ValueError: it is no quantity, or less than 100,000; the text is a part of a sentence.
    """
    found = _QUANTITY.fullmatch(text)
    if found is None:
        raise ValueError(f"is {text!r:.40}, not a number of bytes a second")
    value = float(found[1]) * _FACTORS[found[2]]
    if value < _MIN_BANDWIDTH:
        raise ValueError(f"is {text!r:.40}, less than {_MIN_BANDWIDTH:,}")
    return value
