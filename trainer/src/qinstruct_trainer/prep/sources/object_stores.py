"""Addresses at which the objects of S3, Google's and Azure's stores can be asked for.

An address is signed here, and then fetched as any other: one way for bytes, with the same bounds,
networks, resuming and checks. Endpoints and keys are of the environment, never of a run's spec.
Only keys are taken that are named there: no profile, no role of the machine, whose address
(169.254.169.254) a run has no business with.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from qinstruct_trainer.contract.errors import ConfigError
from qinstruct_trainer.contract.object_urls import StoredObject
from qinstruct_trainer.environment import check_store_settings

_VALID_SECONDS: Final = 86_400
"""Of a signed address; each attempt has a new one."""
_GOOGLE: Final = "https://storage.googleapis.com"


@dataclass(frozen=True)
class _Keys:
    """Names of the variables with a store's keys."""

    identity: str
    secret: str
    session: str | None = None


_AWS: Final = _Keys("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_GS: Final = _Keys("GS_ACCESS_KEY_ID", "GS_SECRET_ACCESS_KEY")
_WAYS: Final = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, and in AWS_REGION the bucket's region",
    "gs": "GS_ACCESS_KEY_ID and GS_SECRET_ACCESS_KEY (HMAC keys)",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_SAS_TOKEN",
}


def way_to_keys(scheme: str) -> str:
    """What to do where a store refuses."""
    return (
        f"give keys that may read it, {_WAYS[scheme]}, in the Secret of data.tokenSecretRef (with "
        "`qinstruct run`: in the environment)"
    )


def object_address(found: StoredObject, env: Mapping[str, str]) -> str:
    """An address of an object: signed where the environment has keys, else as everybody asks.

    Raises:
        ConfigError: the environment has half of a key, no account or no address of an endpoint;
            or what signs is not installed.
    """
    check_store_settings(env)
    if found.scheme == "az":
        return _azure_address(found, env)
    if found.scheme == "gs":
        return _signed(f"{_GOOGLE}/{found.bucket}/{found.path}", "auto", _GS, env)
    region = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or "us-east-1"
    endpoint = env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL")
    if endpoint:
        address = f"{endpoint.rstrip('/')}/{found.bucket}/{found.path}"
    elif "." in found.bucket:  # no certificate is for such a host
        address = f"https://s3.{region}.amazonaws.com/{found.bucket}/{found.path}"
    else:
        address = f"https://{found.bucket}.s3.{region}.amazonaws.com/{found.path}"
    return _signed(address, region, _AWS, env)


def _azure_address(found: StoredObject, env: Mapping[str, str]) -> str:
    """With a shared access signature: an account's key could do anything with all that it has."""
    account = env.get("AZURE_STORAGE_ACCOUNT_NAME")
    if not account:
        raise ConfigError(
            f"az://{found.bucket}/{found.path} is of no account, as AZURE_STORAGE_ACCOUNT_NAME in "
            f"the environment is not set; {way_to_keys('az')}"
        )
    signature = env.get("AZURE_STORAGE_SAS_TOKEN", "").strip().lstrip("?")
    address = f"https://{account}.blob.core.windows.net/{found.bucket}/{found.path}"
    return f"{address}?{signature}" if signature else address


def _signed(address: str, region: str, keys: _Keys, env: Mapping[str, str]) -> str:
    """An address with a signature of version 4 in its query."""
    identity, secret = (env.get(name, "").strip() for name in (keys.identity, keys.secret))
    if not identity and not secret:
        return address
    if not identity or not secret:
        missing = keys.secret if identity else keys.identity
        other = keys.identity if identity else keys.secret
        raise ConfigError(
            f"{missing} in the environment is not set, beside {other}; set both, or none for an "
            "object that everybody may read"
        )
    try:
        from botocore.auth import S3SigV4QueryAuth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials
    except ImportError as error:
        raise ConfigError(
            "addresses of s3:// and gs:// with keys need botocore, which is not installed; install "
            "qinstruct[s3], or use another address"
        ) from error
    session = (env.get(keys.session) or None) if keys.session else None
    request = AWSRequest("GET", address)
    credentials = Credentials(identity, secret, session)
    S3SigV4QueryAuth(credentials, "s3", region, expires=_VALID_SECONDS).add_auth(request)
    return str(request.url)
