"""Addresses of objects."""

import pytest

from qinstruct_trainer.contract.object_urls import StoredObject, parse_object_url


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("s3://my-bucket/a/b.tar", StoredObject("s3", "my-bucket", "a/b.tar")),
        ("gs://my.bucket_1/a%20b", StoredObject("gs", "my.bucket_1", "a b")),
        ("az://container/images.tar", StoredObject("az", "container", "images.tar")),
    ],
)
def test_an_object_has_a_bucket_and_a_key(url: str, found: StoredObject) -> None:
    assert parse_object_url(url) == found


def test_its_path_is_encoded() -> None:
    found = parse_object_url("s3://bucket/a%20b/100%25%3F.tar")
    assert found is not None
    assert found.path == "a%20b/100%25%3F.tar"


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket",
        "s3://bucket/",
        "s3:///key",
        "s3://Bucket/key",
        "s3://b/key",
        "s3://bucket/../other/key",
        "s3://bucket/a/%2e%2e/key",
        "s3://bucket/a//key",
        "s3://bucket/key?versionId=1",
        "s3://bucket/key#x",
        "s3://bucket/a b",
        "s3://bucket/a%0ab",
        "s3://key:s3cret@bucket/key",
        "s3://evil.example:80/key",
        "https://bucket/key",
    ],
)
def test_anything_else_is_none(url: str) -> None:
    assert parse_object_url(url) is None
