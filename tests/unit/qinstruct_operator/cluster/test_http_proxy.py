"""Which proxy leads to an API server, by the environment."""

import pytest

from qinstruct_operator.cluster.http_proxy import proxy_of

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("server", "no_proxy", "proxied"),
    [
        ("https://api.example:6443", "", True),
        ("https://api.example:6443", "api.example", False),
        ("https://10.96.0.1:443", "10.0.0.0/8", False),
        ("https://localhost:6443", "", False),
        ("https://127.0.0.1:6443", "", False),
        ("https://[::1]:6443", "", False),
        ("http://api.example", "", False),
    ],
)
def test_who_needs_a_proxy(server: str, no_proxy: str, proxied: bool) -> None:
    env = {"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy}
    assert proxy_of(server, env) == (PROXY if proxied else None)
    lower = {name.lower(): value for name, value in env.items()}
    assert proxy_of(server, lower) == (PROXY if proxied else None)


def test_a_proxy_without_a_scheme_speaks_http() -> None:
    assert proxy_of("https://a.example", {"HTTPS_PROXY": "proxy:3128"}) == "http://proxy:3128"
