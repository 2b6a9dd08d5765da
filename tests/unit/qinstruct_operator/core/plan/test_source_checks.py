"""Faults of sources and their addresses: each one, and several together."""

import pytest

from qinstruct_operator.api import parse
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
        "q-instruct-labels": {"url": "s3://bucket/labels.json"},
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
    "url", ["http://h/f", "https://h:8443/f.tar", "file:///f", "https://huggingface.co/a/resolve/b"]
)
def test_an_address_that_can_be_fetched(url: str) -> None:
    sources = {"q-instruct-labels": {"url": url}}
    assert not list(sources_are_usable(parse(document(data={"sources": sources})).spec))
