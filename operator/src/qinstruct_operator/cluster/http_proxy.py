"""Choose the proxy for a server by the environment variables, as kubectl does. Pure."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from qinstruct_trainer.contract.no_proxy import address_of, is_exempt


def proxy_of(server: str, env: Mapping[str, str]) -> str | None:
    """The proxy's URL for a server's URL; None where it is reached directly.

    `HTTPS_PROXY` or `HTTP_PROXY` by the server's scheme, unless `NO_PROXY` exempts it. This
    machine itself needs no proxy, ever.
    """
    url = urlsplit(server)
    variable = f"{url.scheme}_proxy"
    proxy = env.get(variable.upper()) or env.get(variable)
    host = (url.hostname or "").rstrip(".").lower()
    address = address_of(host)
    local = host == "localhost" or (address is not None and address.is_loopback)
    if not proxy or local or is_exempt(server, env.get("NO_PROXY") or env.get("no_proxy") or ""):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"
