"""Choose the proxy for a server by the environment variables, as kubectl does. Pure.

The HTTP library's own reading knows no address ranges in NO_PROXY, and would send a pod's
requests for the cluster's own address through a proxy that cannot reach it.
"""

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def proxy_of(server: str, env: Mapping[str, str]) -> str | None:
    """The proxy's URL for a server's URL; None where it is reached directly.

    `HTTPS_PROXY` or `HTTP_PROXY` by the server's scheme. `NO_PROXY` lists names (with all names
    below them), `.names` (only those below), addresses, ranges, each perhaps with a port, or
    `*`. This machine itself needs no proxy, ever.
    """
    url = urlsplit(server)
    variable = f"{url.scheme}_proxy"
    proxy = env.get(variable.upper()) or env.get(variable)
    exempt = env.get("NO_PROXY") or env.get("no_proxy") or ""
    host = (url.hostname or "").rstrip(".").lower()
    port = str(url.port or (443 if url.scheme == "https" else 80))
    address = _address(host)
    local = host == "localhost" or (address is not None and address.is_loopback)
    if not proxy or local:
        return None
    if any(_matches(rule.strip().lower(), host, port, address) for rule in exempt.split(",")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


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


def _address(text: str) -> _Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
