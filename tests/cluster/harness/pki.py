"""The certificates of one test cluster, made by openssl in about a second."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_DAYS: Final = "365"  # with less than 90 left the training-operator makes new ones
_ELLIPTIC: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
_RSA: Final = ("-newkey", "rsa:2048")
_AUTHORITY: Final = (
    *("-addext", "basicConstraints=critical,CA:TRUE"),
    *("-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature,keyEncipherment"),
)


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, as PEM files."""

    certificate: Path
    key: Path


def authority(folder: Path, name: str) -> Pair:
    """A self-signed certificate authority."""
    return _request(_pair(folder, name), name, [*_ELLIPTIC, *_AUTHORITY])


def leaf(folder: Path, issuer: Pair, name: str, *alternatives: str, organization: str = "") -> Pair:
    """A certificate for servers (by alternative names, as `IP:127.0.0.1`) and for clients."""
    arguments = [*_ELLIPTIC, *_signed_by(issuer), *_usage(alternatives)]
    return _request(_pair(folder, name), name, arguments, organization)


def training_operator_pairs(folder: Path, *alternatives: str) -> tuple[Pair, Pair]:
    """Authority and webhook certificate that the training-operator takes for its own.

    Its certificate rotator makes new ones and ends the program unless the authority's key is RSA in
    PKCS#1 and its alternative name is its common name.
    """
    name = "training-operator-ca"
    alternative = ("-addext", f"subjectAltName=DNS:{name}")
    issuer = _request(
        _pair(folder, "ca"), name, [*_RSA, *_AUTHORITY, *alternative], "training-operator"
    )
    arguments = [*_RSA, *_signed_by(issuer), *_usage(alternatives)]
    served = _request(_pair(folder, "tls"), "training-operator", arguments)
    for pair in (issuer, served):
        _openssl("rsa", "-traditional", "-in", str(pair.key), "-out", str(pair.key))
    return issuer, served


def signing_key(path: Path) -> Path:
    """A private key for service-account tokens; readers take the public half from it too."""
    # Not `genpkey`: from its PKCS#8 the API server reads no public key.
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(path))
    return path


def _pair(folder: Path, name: str) -> Pair:
    folder.mkdir(parents=True, exist_ok=True)
    return Pair(folder / f"{name}.crt", folder / f"{name}.key")


def _signed_by(issuer: Pair) -> tuple[str, ...]:
    return ("-CA", str(issuer.certificate), "-CAkey", str(issuer.key))


def _usage(alternatives: tuple[str, ...]) -> list[str]:
    extensions = [
        "basicConstraints=critical,CA:FALSE",
        "keyUsage=critical,digitalSignature,keyEncipherment",
        "extendedKeyUsage=serverAuth,clientAuth",
    ]
    if alternatives:
        extensions.append("subjectAltName=" + ",".join(alternatives))
    return [word for extension in extensions for word in ("-addext", extension)]


def _request(pair: Pair, name: str, arguments: list[str], organization: str = "") -> Pair:
    subject = (f"/O={organization}" if organization else "") + f"/CN={name}"
    files = ("-keyout", str(pair.key), "-out", str(pair.certificate))
    _openssl("req", "-x509", "-nodes", "-days", _DAYS, "-subj", subject, *files, *arguments)
    return pair


def _openssl(*arguments: str) -> None:
    if shutil.which("openssl") is None:
        raise FileNotFoundError("the test cluster makes its certificates with openssl: install it")
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]} failed: {done.stderr.strip()}")
