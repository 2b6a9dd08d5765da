"""Which servers are reached without a proxy."""

import pytest

from qinstruct_trainer.contract.no_proxy import is_exempt


@pytest.mark.parametrize(
    ("server", "no_proxy", "exempt"),
    [
        ("https://api.example:6443", "", False),
        ("https://api.example:6443", "other.example", False),
        ("https://api.example:6443", "*", True),
        ("https://api.example:6443", "api.example", True),
        ("https://API.example.:6443", " Example , x", True),
        ("https://api.example:6443", "pi.example", False),
        ("https://api.example:6443", ".example", True),
        ("https://api.example:6443", "*.example", True),
        ("https://example:6443", ".example", False),
        ("https://api.example:6443", "api.example:6443", True),
        ("https://api.example:6443", "api.example:443", False),
        ("https://api.example", "api.example:443", True),
        ("https://10.96.0.1:443", "10.0.0.0/8", True),
        ("https://10.96.0.1:443", "192.168.0.0/16,10.96.0.1", True),
        ("https://10.96.0.1:443", "10.96.0.1:443", True),
        ("https://10.96.0.1:443", "10.96.0.1:80", False),
        ("https://10.96.0.1:443", "10.97.0.0/16", False),
        ("https://10.96.0.1:443", "0.1", False),
        ("https://[fd00::1]:443", "fd00::/8", True),
        ("https://[fd00::1]:443", "[fd00::1]:443", True),
        ("https://[fd00::1]:443", "fd00::2", False),
        ("http://api.example", "api.example:80", True),
        ("http://api.example", "api.example:443", False),
    ],
)
def test_what_no_proxy_exempts(server: str, no_proxy: str, exempt: bool) -> None:
    assert is_exempt(server, no_proxy) is exempt
