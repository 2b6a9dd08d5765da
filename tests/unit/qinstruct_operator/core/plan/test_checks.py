"""Every bad document is refused with one sentence that names field, value, reason, way out."""

from typing import Any, Final

import pytest

from qinstruct_operator.errors import InvalidSpec
from support.bad_specs import BAD_SPECS
from support.operator_documents import document, plan


@pytest.mark.parametrize("case", BAD_SPECS)
def test_bad_spec_is_refused_by_name(case: str) -> None:
    raw, field, text = BAD_SPECS[case]
    with pytest.raises(InvalidSpec) as caught:
        plan(raw)
    (violation,) = caught.value.violations
    sentence = violation.sentence()
    assert violation.field == field
    assert sentence.startswith(field)
    assert text in sentence
    assert "; " in sentence, "the sentence names no way out"
    assert "\n" not in sentence


def test_there_are_enough_of_them() -> None:
    assert len(BAD_SPECS) >= 45


def test_every_fault_is_reported_at_once() -> None:
    raw = BAD_SPECS["13B on 40 GB"][0]
    raw = raw | {"spec": raw["spec"] | {"budget": {"maxGpuHours": 9}, "data": {"maxMissing": 3}}}
    with pytest.raises(InvalidSpec) as caught:
        plan(raw)
    assert [violation.field for violation in caught.value.violations] == [
        "spec.gpu.product",
        "spec.data.maxMissing",
        "spec.budget.maxGpuHours",
    ]


def test_a_password_is_never_repeated() -> None:
    with pytest.raises(InvalidSpec) as caught:
        plan(BAD_SPECS["address with a password"][0])
    assert "secret" not in str(caught.value)


def test_a_tiny_models_image_is_small_enough_for_a_short_sequence() -> None:
    assert plan(document(size="Tiny", training={"maxLength": 300})).run_config


SENTENCES: Final[list[tuple[dict[str, Any], str]]] = [
    (
        {"size": "Tiny", "training": {"attention": "flash_attention_2"}},
        "spec.training.attention flash_attention_2: needs a GPU, and size Tiny trains on CPUs; use "
        "sdpa or eager, or remove it",
    ),
    (
        {"model": {"base": "/models/x", "revision": "a"}},
        "spec.model.revision a: means nothing without a hub repository to take it from; remove it, "
        "or set model.base to owner/name",
    ),
    (
        {"gpu": {"strict": True, "allowLarger": False}},
        "spec.gpu.allowLarger false: means nothing with strict, which is exact already; remove one "
        "of the two",
    ),
    (
        {"data": {"sources": {"q-instruct-labels": {"url": "https://host/"}}}},
        "spec.data.sources.q-instruct-labels.url https://host/: names no file; write "
        "https://host/path, or file:///path of a file",
    ),
    (
        {"data": {"sources": {"q-instruct-labels": {"url": "ftp//x"}}}},
        "spec.data.sources.q-instruct-labels.url ftp//x: is not an address; write "
        "https://, hf://, s3:// or file:///path",
    ),
    (
        {"data": {"sources": {"q-instruct-labels": {"url": "https://host:port/a"}}}},
        "spec.data.sources.q-instruct-labels.url https://host:port/a: is not an address; write "
        "https://, hf://, s3:// or file:///path",
    ),
    (
        {"data": {"sources": {"q-instruct-labels": {"url": "https://u:p@host/a"}}}},
        "spec.data.sources.q-instruct-labels.url https://host/a: contains a user name or password, "
        "which everyone who sees the run could read; use an address without them",
    ),
    (
        {"data": {"sources": {"coco": {"url": "https://host/a"}}}},
        "spec.data.sources.coco: is not used by size 7B, strategy after; remove it",
    ),
    (
        {"output": {"size": "1Gi"}, "checkpoint": {"keep": 2}},
        "spec.output.size 1Gi: is less than the 365Gi that 4 checkpoints and the exported model "
        "take (checkpoint.keep 2, one being written, a damaged one set aside); use at least 365Gi, "
        "or remove it",
    ),
]


@pytest.mark.parametrize(("spec", "sentence"), SENTENCES, ids=lambda value: str(value)[:40])
def test_a_fault_has_its_field_value_reason_and_way_out(
    spec: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidSpec) as refused:
        plan(document(**spec))
    assert [one.sentence() for one in refused.value.violations] == [sentence]
