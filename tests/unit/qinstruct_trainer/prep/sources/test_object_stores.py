"""Which address an object has, and what signs it."""

import sys
from urllib.parse import parse_qs, urlsplit

import pytest

from qinstruct_trainer.contract.errors import ConfigError
from qinstruct_trainer.contract.object_urls import parse_object_url
from qinstruct_trainer.prep.sources.object_stores import object_address

KEYS = {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "s3cret"}
GS = {"GS_ACCESS_KEY_ID": "GOOG1", "GS_SECRET_ACCESS_KEY": "s3cret"}
AZURE = {"AZURE_STORAGE_ACCOUNT_NAME": "account"}
MINIO = {"AWS_ENDPOINT_URL": "http://minio:9000/"}


def address(url: str, **env: str) -> str:
    found = parse_object_url(url)
    assert found is not None
    return object_address(found, env)


@pytest.mark.parametrize(
    ("url", "env", "expected"),
    [
        ("s3://bucket/a%20b", {}, "https://bucket.s3.us-east-1.amazonaws.com/a%20b"),
        (
            "s3://bucket/f",
            {"AWS_DEFAULT_REGION": "eu-west-1"},
            "https://bucket.s3.eu-west-1.amazonaws.com/f",
        ),
        ("s3://my.bucket/f", {}, "https://s3.us-east-1.amazonaws.com/my.bucket/f"),
        ("s3://bucket/f", MINIO, "http://minio:9000/bucket/f"),
        (
            "s3://bucket/f",
            MINIO | {"AWS_ENDPOINT_URL_S3": "https://s3.example"},
            "https://s3.example/bucket/f",
        ),
        ("gs://bucket/f", MINIO, "https://storage.googleapis.com/bucket/f"),
        ("az://box/f", AZURE, "https://account.blob.core.windows.net/box/f"),
        (
            "az://box/f",
            AZURE | {"AZURE_STORAGE_SAS_TOKEN": "?sv=1&sig=s3cret"},
            "https://account.blob.core.windows.net/box/f?sv=1&sig=s3cret",
        ),
    ],
)
def test_an_object_has_the_address_of_its_store(
    url: str, env: dict[str, str], expected: str
) -> None:
    assert address(url, **env) == expected


@pytest.mark.parametrize(
    ("url", "env", "scope"),
    [
        ("s3://bucket/f", KEYS | {"AWS_REGION": "eu-west-1"}, "eu-west-1/s3/aws4_request"),
        ("s3://bucket/f", KEYS | MINIO, "us-east-1/s3/aws4_request"),
        ("gs://bucket/f", KEYS | GS, "auto/s3/aws4_request"),
    ],
)
def test_keys_sign_it_for_a_day_and_are_not_in_it(
    url: str, env: dict[str, str], scope: str
) -> None:
    signed = address(url, **env)
    query = parse_qs(urlsplit(signed).query)
    assert query["X-Amz-Credential"][0].endswith(scope)
    assert query["X-Amz-Expires"] == ["86400"]
    assert len(query["X-Amz-Signature"][0]) == 64
    assert "X-Amz-Security-Token" not in query
    assert "s3cret" not in signed
    if url.startswith("s3"):
        session = address(url, **env, AWS_SESSION_TOKEN="session")
        assert parse_qs(urlsplit(session).query)["X-Amz-Security-Token"] == ["session"]


@pytest.mark.parametrize(
    ("url", "env", "words"),
    [
        ("s3://bucket/f", {"AWS_ACCESS_KEY_ID": "me"}, "^AWS_SECRET_ACCESS_KEY in the environment"),
        ("s3://bucket/f", {"AWS_SECRET_ACCESS_KEY": "s3cret"}, "^AWS_ACCESS_KEY_ID in the env"),
        ("gs://bucket/f", {"GS_ACCESS_KEY_ID": "me"}, "^GS_SECRET_ACCESS_KEY in the environment"),
        ("az://box/f", {}, "AZURE_STORAGE_ACCOUNT_NAME in the environment is not set"),
        ("az://box/f", {"AZURE_STORAGE_ACCOUNT_NAME": "evil.example/"}, "'evil.example/'"),
        ("s3://bucket/f", {"AWS_REGION": "evil.example/#"}, "AWS_REGION in the environment"),
        ("s3://bucket/f", {"AWS_ENDPOINT_URL": "minio:9000"}, "AWS_ENDPOINT_URL in the environ"),
    ],
)
def test_what_cannot_be_asked_with_is_a_sentence(url: str, env: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        address(url, **env)
    assert "s3cret" not in str(caught.value)


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore.auth", None)
    assert address("s3://bucket/f").endswith("/f")
    with pytest.raises(ConfigError, match=r"botocore, which is not installed; install qinstruct"):
        address("s3://bucket/f", **KEYS)
