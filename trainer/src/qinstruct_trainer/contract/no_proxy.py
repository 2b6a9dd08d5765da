"""Which servers `NO_PROXY` exempts from a proxy, as kubectl and curl read it. Pure.

HTTP libraries know no address ranges there, and send requests for a cluster's own addresses
through a proxy that cannot reach them.
"""

import ipaddress
from urllib.parse import urlsplit

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_exempt(server: str, no_proxy: str) -> bool:
    """Whether a server's URL is reached without a proxy.

    `no_proxy` lists, separated by commas, names (with all names below them), `.names` (only those
    below), addresses, ranges, each perhaps with a port, or `*`.
    """
    url = urlsplit(server)
    host = (url.hostname or "").rstrip(".").lower()
    port = str(url.port or (443 if url.scheme == "https" else 80))
    rules = (rule.strip().lower() for rule in no_proxy.split(","))
    return any(_matches(rule, host, port, address_of(host)) for rule in rules)


def address_of(text: str) -> _Address | None:
    """An address from its text; None if it is a name."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _matches(rule: str, host: str, port: str, address: _Address | None) -> bool:
    if rule == "*":
        return True
    name, colon, wanted = rule.rpartition(":")
    if not colon or not wanted.isdigit() or _network(rule) is not None:  # ::1 has no port
        name, wanted = rule, port
    if not name or wanted != port:
        return False
    if address is not None:
        network = _network(name.strip("[]"))
        return network is not None and address in network
    name = name.removeprefix("*")
    return host.endswith(name if name.startswith(".") else f".{name}") or host == name


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
