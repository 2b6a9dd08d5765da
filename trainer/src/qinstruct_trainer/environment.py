"""Settings of the environment that libraries read: a bad one is a sentence that names it.

They read them while they are imported or a client is made, and raise whatever comes. Torch-free.
"""

import os
import re
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from qinstruct_trainer.contract.errors import ConfigError
from qinstruct_trainer.contract.net_settings import (
    BANDWIDTH_FORM,
    EXEMPTIONS_FORM,
    HUB_SCHEMES,
    PROXY_SCHEMES,
    bytes_per_second,
    why_no_address,
    why_no_exemptions,
)
from qinstruct_trainer.contract.urls import shown_url

_PROXIES: Final = ("http_proxy", "https_proxy", "all_proxy")
_HOST_PART: Final = re.compile(r"[a-z0-9-]{1,63}")
_HUB_SECONDS: Final = ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT")
_BANDWIDTH: Final = "QINSTRUCT_MAX_BANDWIDTH"
HUB_TOKENS: Final = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
"""Variables that may have the hub's token; the first one that does counts."""


def check_connection_settings(env: Mapping[str, str] = os.environ) -> None:
    """Prove that a client can be made: proxies, bandwidth, and what encryption needs.

    Raises:
        ConfigError: a variable has a value that no client can use.
    """
    for name, value in env.items():
        if name.lower() in _PROXIES and value:
            _check_address(name, value if "://" in value else f"http://{value}", PROXY_SCHEMES)
        elif name.lower() == "no_proxy" and (why := why_no_exemptions(value)):
            raise _bad(name, why, EXEMPTIONS_FORM)
    _check_certificates(env)
    max_bandwidth(env)


def max_bandwidth(env: Mapping[str, str]) -> float | None:
    """Most bytes a second of all downloads together, at least 100,000; None: without a bound.

    Raises:
        ConfigError: `QINSTRUCT_MAX_BANDWIDTH` is no quantity, or a smaller one.
    """
    value = env.get(_BANDWIDTH, "")
    if not value:
        return None
    try:
        return bytes_per_second(value)
    except ValueError as error:
        raise _bad(_BANDWIDTH, str(error), BANDWIDTH_FORM) from None


def check_hub_settings(env: Mapping[str, str] = os.environ) -> None:
    """Prove that the hub of models can be asked.

    Raises:
        ConfigError: a variable has a value that is no address or no token.
    """
    if endpoint := env.get("HF_ENDPOINT"):
        _check_address("HF_ENDPOINT", endpoint, HUB_SCHEMES)
    for name in HUB_TOKENS:
        token = env.get(name, "").strip()
        if not (token.isascii() and token.isprintable() and " " not in token):
            reason = "has a character that no token has"
            raise _bad(name, reason, "copy the token again, without quotes and blanks")


def check_store_settings(env: Mapping[str, str] = os.environ) -> None:
    """Prove that stores of objects can be asked.

    Raises:
        ConfigError: a variable has a value that is no address, region or account.
    """
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        if endpoint := env.get(name):
            _check_address(name, endpoint, HUB_SCHEMES)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AZURE_STORAGE_ACCOUNT_NAME"):
        if (value := env.get(name)) and not _HOST_PART.fullmatch(value):
            reason = f"is {value!r:.40}, and has small letters, digits and - alone"
            raise _bad(name, reason, "copy it again, without quotes and blanks")


def check_import_settings(env: Mapping[str, str] = os.environ) -> None:
    """Prove that the libraries can be imported.

    Raises:
        ConfigError: a variable has a value with which one of them cannot.
    """
    for name in _HUB_SECONDS:
        value = env.get(name, "1")
        if not (value.isascii() and value.isdecimal()):
            reason = f"is {value!r:.40}, not a whole number of seconds"
            raise _bad(name, reason, "write digits alone")
    accelerator = env.get("DS_ACCELERATOR", "cpu")
    if accelerator not in ("cpu", "cuda"):
        reason = f"is {accelerator!r:.40}, and training knows cpu and cuda"
        raise _bad("DS_ACCELERATOR", reason, "write one of them")


def _check_address(name: str, value: str, schemes: Sequence[str]) -> None:
    if why := why_no_address(value, schemes):
        form = f"write it as {schemes[0]}://HOST:PORT"
        raise _bad(name, f"is {shown_url(value)!r:.200}, which {why}", form)


def _check_certificates(env: Mapping[str, str]) -> None:
    # As httpx does: SSL_CERT_DIR is read only where there is no SSL_CERT_FILE.
    file, folder = env.get("SSL_CERT_FILE"), env.get("SSL_CERT_DIR")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if file:
        try:
            context.load_verify_locations(cafile=file)
        except OSError as error:
            # OpenSSL's words are for programmers, and its number is none of the system's.
            is_none = isinstance(error, ssl.SSLError)
            why = "holds no certificate" if is_none else f"cannot be read ({error.strerror})"
            raise _bad(
                "SSL_CERT_FILE", f"names {file!r:.200}, which {why}", "name a PEM file"
            ) from error
    elif folder and not any(Path(part).is_dir() for part in folder.split(os.pathsep)):
        reason = f"names {folder!r:.200}, which is no folder"
        raise _bad("SSL_CERT_DIR", reason, "name a folder of certificates")
    if log := env.get("SSLKEYLOGFILE"):
        try:
            context.keylog_filename = log
        except OSError as error:
            reason = f"names {log!r:.200}, which cannot be written ({error.strerror})"
            raise _bad("SSLKEYLOGFILE", reason, "name another file") from error


def _bad(name: str, reason: str, way_out: str) -> ConfigError:
    return ConfigError(f"{name} in the environment {reason}; {way_out}, or unset it")
