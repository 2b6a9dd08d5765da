"""Which proxy leads to a download's server, by the environment."""

import pytest

from qinstruct_trainer.prep.sources.connection import proxy_for


@pytest.mark.parametrize(
    ("server", "env", "proxy"),
    [
        ("https://a.example/x", {}, None),
        ("https://a.example/x", {"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ("https://a.example/x", {"https_proxy": "p:1"}, "http://p:1"),
        ("https://a.example/x", {"HTTP_PROXY": "http://p:1"}, None),
        ("http://a.example/x", {"HTTP_PROXY": "http://p:1"}, "http://p:1"),
        ("http://a.example/x", {"ALL_PROXY": "socks5://p:1"}, "socks5://p:1"),
        (
            "http://a.example/x",
            {"HTTP_PROXY": "http://q:2", "ALL_PROXY": "http://p:1"},
            "http://q:2",
        ),
        ("http://a.example/x", {"http_proxy": "", "all_proxy": "http://p:1"}, "http://p:1"),
        ("http://10.1.2.3/x", {"HTTP_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, None),
        ("http://a.example/x", {"ALL_PROXY": "http://p:1", "no_proxy": ".example"}, None),
    ],
)
def test_who_needs_a_proxy(server: str, env: dict[str, str], proxy: str | None) -> None:
    assert proxy_for(server, env) == proxy
