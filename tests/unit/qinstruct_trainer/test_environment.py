"""Each setting that a library would choke on is a sentence that names the variable."""

import os

import pytest

from qinstruct_trainer.contract.errors import ConfigError
from qinstruct_trainer.environment import (
    check_connection_settings,
    check_hub_settings,
    check_import_settings,
    max_bandwidth,
)

NO_CLIENT = [
    *[(name, "socks4://proxy:1080") for name in ("ALL_PROXY", "all_proxy", "HTTPS_PROXY")],
    *[
        ("HTTP_PROXY", value)
        for value in ("ftp://a", "socks://a:1", "://a", "http://", "http://:1")
    ],
    *[("https_proxy", value) for value in ("http://a:99999", "http://a:b", "a:0", "http://[::1")],
    *[("ALL_PROXY", value) for value in ("http://a\n", " http://a", "http://a b", "http://a\x00")],
    *[("NO_PROXY", value) for value in ("[::1]", "a,[::1]:80", "b:x", "\u00e4.de", "a:99999")],
    *[("SSL_CERT_FILE", value) for value in ("/nowhere", "/", __file__)],
    ("SSL_CERT_DIR", "/nowhere"),
    ("SSLKEYLOGFILE", "/nowhere/keys"),
    *[
        ("QINSTRUCT_MAX_BANDWIDTH", value)
        for value in ("fast", "-1M", "0", "99k", "1e9", "50 M", "50MB", "50m", "\u0665M", "9" * 99)
    ],
]
WORD = "p%40ss"
GOOD = [
    *[{"ALL_PROXY": f"{scheme}://a:1"} for scheme in ("http", "https", "socks5", "socks5h")],
    {"http_proxy": "proxy:8080", "HTTPS_PROXY": f"http://me:{WORD}@proxy", "ALL_PROXY": ""},
    {"NO_PROXY": "*, .svc,localhost,10.0.0.0/8, ::1,fe80::/10,a_b.c:8080,,http://a"},
    {"SSL_CERT_DIR": f"/nowhere{os.pathsep}/"},
    {"SSL_CERT_FILE": "", "SSL_CERT_DIR": ""},
    {},
]


@pytest.mark.parametrize(("name", "value"), NO_CLIENT)
def test_what_no_client_can_use_is_named(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{name} in the environment .*, or unset it$"):
        check_connection_settings({name: value})


@pytest.mark.parametrize("env", GOOD, ids=str)
def test_what_a_client_can_use_is_taken(env: dict[str, str]) -> None:
    check_connection_settings(env)


@pytest.mark.parametrize(
    ("value", "bytes_per_second"),
    [
        ("", None),
        ("100k", 1e5),
        ("50M", 5e7),
        ("1.5G", 1.5e9),
        ("100Mi", 100 * 2**20),
        ("1T", 1e12),
    ],
)
def test_a_bandwidth_is_a_quantity(value: str, bytes_per_second: float | None) -> None:
    assert max_bandwidth({"QINSTRUCT_MAX_BANDWIDTH": value}) == bytes_per_second


def test_a_password_is_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        check_connection_settings({"ALL_PROXY": "socks4://me:secret@proxy:1"})
    assert "secret" not in str(caught.value)
    assert "'socks4://proxy:1'" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[
            ("HF_ENDPOINT", value)
            for value in ("hub.example", "ftp://hub", "https://", "https://a:b")
        ],
        *[(name, "hf_\u2026") for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")],
        ("HF_TOKEN", "'hf abc'"),
        ("HF_TOKEN", "hf\x07abc"),
    ],
)
def test_what_no_hub_can_be_asked_with_is_named(name: str, value: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"^{name} in the environment .*, or unset it$"
    ) as caught:
        check_hub_settings({name: value})
    if "TOKEN" in name:
        assert value not in str(caught.value)


def test_a_hub_and_a_token_are_taken() -> None:
    check_hub_settings({"HF_ENDPOINT": "https://hub.example:8443/mirror", "HF_TOKEN": "hf_abc\n"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("HF_HUB_ETAG_TIMEOUT", value) for value in ("abc", "10s", "", "-1", "\u0661", "1.5")],
        ("HF_HUB_DOWNLOAD_TIMEOUT", "ten"),
        ("DS_ACCELERATOR", "gpu"),
    ],
)
def test_what_no_library_can_be_imported_with_is_named(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{name} in the environment .*, or unset it$"):
        check_import_settings({name: value})


def test_what_libraries_take_is_taken() -> None:
    check_import_settings({"HF_HUB_ETAG_TIMEOUT": "30", "DS_ACCELERATOR": "cuda"})
    check_import_settings({})
