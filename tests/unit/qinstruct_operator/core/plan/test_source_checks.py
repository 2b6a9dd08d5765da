"""Faults of sources and their addresses: each one, and several together."""

import pytest

from qinstruct_operator.api import parse
from qinstruct_operator.catalog.sources import SOURCES
from qinstruct_operator.core.plan.checks import violations
from qinstruct_operator.core.plan.source_checks import sources_are_usable
from support.bad_specs import BAD_SPECS
from support.operator_documents import document

ADDRESSES = [
    "web page",
    "bucket",
    "hub address",
    "path instead of address",
    "relative file address",
    "address with a password",
    "revision of a plain file",
    "source that after does not use",
    "Tiny with labels alone",
]


@pytest.mark.parametrize("case", ADDRESSES)
def test_a_source_that_cannot_be_used(case: str) -> None:
    raw, field, text = BAD_SPECS[case]
    (violation,) = sources_are_usable(parse(raw).spec)
    assert violation.field == field
    assert text in violation.sentence()


def test_every_source_is_checked() -> None:
    sources = {
        "q-instruct-labels": {"url": "s3://Bucket/labels.json"},
        "q-instruct-images": {"url": "/images.tar"},
        "coco": {"url": "s3://bucket/coco.zip"},
    }
    found = sources_are_usable(parse(document(data={"sources": sources})).spec)
    assert [violation.field for violation in found] == [
        "spec.data.sources.q-instruct-labels.url",
        "spec.data.sources.q-instruct-images.url",
        "spec.data.sources.coco",
    ]


@pytest.mark.parametrize(
    "url",
    [
        "http://h/f",
        "https://h:8443/f.tar",
        "file:///f",
        "https://huggingface.co/a/resolve/b",
        "hf://datasets/me/set@v1/f.tar",
        "s3://bucket/folder/f.tar",
        "gs://bucket/f.tar",
        "az://container/f.tar",
    ],
)
def test_an_address_that_can_be_fetched(url: str) -> None:
    sources = {"q-instruct-labels": {"url": url}}
    assert not list(sources_are_usable(parse(document(data={"sources": sources})).spec))


def test_every_mirror_is_checked() -> None:
    mirrors = [
        "https://ok.example/f",
        "https://url.example/f",
        "ftp://h/f",
        "https://ok.example/f",
        "https://me:s3cret@h/f",
        "hf://datasets/set/f",
    ]
    sources = {"q-instruct-labels": {"url": "https://url.example/f", "mirrors": mirrors}}
    found = sources_are_usable(parse(document(data={"sources": sources})).spec)
    field = "spec.data.sources.q-instruct-labels.mirrors"
    assert [(each.field, each.reason) for each in found] == [
        (f"{field}[1]", "is tried before already"),
        (f"{field}[2]", "is not an address"),
        (f"{field}[3]", "is tried before already"),
        (
            f"{field}[4]",
            "contains a user name or password, which everyone who sees the run could read",
        ),
        (f"{field}[5]", "names no file of the hub"),
    ]


def test_a_mirror_may_not_be_the_published_address() -> None:
    url = SOURCES["q-instruct-labels"].url
    sources = {"q-instruct-labels": {"mirrors": [url]}}
    (found,) = sources_are_usable(parse(document(data={"sources": sources})).spec)
    assert found.reason == "is tried before already"


@pytest.mark.parametrize(
    ("mirror", "own"),
    [
        ("hf://datasets/me/set@v1/f", "v1"),
        ("hf://datasets/me/set@main/f", "main"),
        ("hf://me/model@refs/pr/3/f", "refs/pr/3"),
        ("https://h/me/set/resolve/v1/f", "v1"),
        ("https://h/me/set/resolve/refs%2Fpr%2F3/f", "refs/pr/3"),
    ],
)
@pytest.mark.parametrize("is_mirror", [True, False])
def test_an_address_of_another_revision_is_refused(
    mirror: str, own: str, *, is_mirror: bool
) -> None:
    given = {"mirrors": [mirror]} if is_mirror else {"url": mirror}
    sources = {"q-instruct-labels": {**given, "revision": "v2"}}
    (found,) = sources_are_usable(parse(document(data={"sources": sources})).spec)
    field = "spec.data.sources.q-instruct-labels"
    if is_mirror:
        assert found.field == f"{field}.mirrors[0]"
        assert f"is of revision {own}, and revision v2 is of url and all mirrors" in found.reason
    else:
        assert (found.field, found.value) == (f"{field}.revision", "v2")
        assert "is another one beside that of" in found.reason


@pytest.mark.parametrize(
    "mirror",
    [
        "hf://datasets/me/set/f",
        "hf://datasets/me/set@v2/f",
        "https://h/me/set/resolve/main/f",
        "https://h/me/set/resolve/v2/f",
        "https://h/f",
        "s3://bucket/f",
    ],
)
def test_a_revision_is_of_each_mirror_that_names_no_other(mirror: str) -> None:
    sources = {"q-instruct-labels": {"mirrors": [mirror], "revision": "v2"}}
    assert not list(sources_are_usable(parse(document(data={"sources": sources})).spec))


def test_one_revision_is_enough() -> None:
    override = {"url": "hf://datasets/me/set@v1/f", "revision": "v2"}
    (found,) = sources_are_usable(
        parse(document(data={"sources": {"q-instruct-labels": override}})).spec
    )
    assert found.field == "spec.data.sources.q-instruct-labels.revision"
    assert "another one beside that of hf://datasets/me/set@v1/f" in found.sentence()


@pytest.mark.parametrize(
    "url",
    [
        "host/file?s3cret",
        "me:s3cret@host/file",
        "//host/file?s3cret",
        "https:/host/file?s3cret",
        "ftp:host/file?s3cret",
        "file:file?s3cret",
        "https://host/a file?t=a s3cret",
        "https://me:s3cret@cache/https://host/file",
        "https://me:x/s3cret@host/file",
    ],
)
def test_what_is_said_of_an_address_has_none_of_its_secrets(url: str) -> None:
    """Also of one that is none, because its scheme is missing, say."""
    sources = {"q-instruct-labels": {"url": url, "revision": "v1"}}
    found = [
        *sources_are_usable(parse(document(data={"sources": sources})).spec),
        *violations(parse(document(model={"base": url})).spec),
    ]
    assert len(found) >= 2
    assert not [violation for violation in found if "s3cret" in violation.sentence()]
