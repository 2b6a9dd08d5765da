"""Addresses, exemptions, networks and bounds: what can be used, and why not."""

import pytest

from qinstruct_trainer.contract.net_settings import (
    HUB_SCHEMES,
    PROXY_SCHEMES,
    bytes_per_second,
    why_no_address,
    why_no_exemptions,
    why_no_network,
)


@pytest.mark.parametrize("text", ["https://a", "http://a.b:1/c", "http://[::1]:80", "http://u:p@a"])
def test_an_address(text: str) -> None:
    assert why_no_address(text, HUB_SCHEMES) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("http://[::1", "is no address"),
        ("http://a:b", "is no address"),
        ("http://a:99999", "is no address"),
        *[
            (text, "is no address of a host that begins with https:// or http://")
            for text in (
                "",
                "a",
                "a:80",
                "ftp://a",
                "http://",
                "http://:1",
                "http://a:0",
                "http://a b",
            )
        ],
        ("http://a\n", "is no address of a host that begins with https:// or http://"),
    ],
)
def test_no_address(text: str, why: str) -> None:
    assert why_no_address(text, HUB_SCHEMES) == why


def test_all_schemes_are_named() -> None:
    said = why_no_address("socks4://a", PROXY_SCHEMES)
    assert said == (
        "is no address of a host that begins with http://, https://, socks5:// or socks5h://"
    )


@pytest.mark.parametrize("text", ["", "*", ".svc, a:1", "10.0.0.0/8,10.1.2.3/8,::1", "http://a"])
def test_exemptions(text: str) -> None:
    assert why_no_exemptions(text) is None


@pytest.mark.parametrize("bad", ["[::1]", "a:b", "\u00e4.de", "a:99999", "a\x00"])
def test_no_exemptions(bad: str) -> None:
    assert why_no_exemptions(f"a, {bad}") == (
        f"has {bad!r}, which is neither a name nor an address"
    )


@pytest.mark.parametrize(
    "text", ["10.1.0.0/16", "10.1.0.1", "10.1.0.1/32", "fd00::/8", "0.0.0.0/0"]
)
def test_a_network(text: str) -> None:
    assert why_no_network(text) is None


@pytest.mark.parametrize("text", ["", "a", "10.1.0.0/33", "10.1.0/16", "10.1.0.0/", "1/2/3"])
def test_no_network(text: str) -> None:
    assert why_no_network(text) == "is not a network"


def test_a_network_that_may_mean_two() -> None:
    assert why_no_network("10.1.2.3/16") == (
        "is not a network: 10.1.2.3 has bits behind its prefix, so that it may mean 10.1.0.0/16 or "
        "10.1.2.3/32"
    )


@pytest.mark.parametrize(("text", "value"), [("100k", 1e5), ("1.5G", 1.5e9), ("1Mi", 2**20)])
def test_a_bound(text: str, value: float) -> None:
    assert bytes_per_second(text) == value


@pytest.mark.parametrize("text", ["", "fast", "1e9", "50 M", "99k", "9" * 99])
def test_no_bound(text: str) -> None:
    with pytest.raises(ValueError, match=r"is '.*, (not a number|less than)"):
        bytes_per_second(text)
