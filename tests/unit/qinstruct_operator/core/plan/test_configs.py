"""The configs of prep and training."""

import pytest

from qinstruct_operator.api.parse import parse
from qinstruct_operator.core.plan.checks import LATER
from qinstruct_operator.core.plan.make import make_plan
from qinstruct_operator.errors import InvalidSpec
from qinstruct_operator.settings import Settings
from qinstruct_trainer.contract.config import ModelSource
from support.operator_documents import document, plan, sample


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, 0),
        ({"missingImages": "Drop"}, 1000),
        ({"missingImages": "Drop", "maxMissing": 0}, 0),
        ({"missingImages": "Drop", "maxMissing": 7}, 7),
    ],
)
def test_records_that_may_be_dropped(data: dict[str, object], expected: int) -> None:
    assert plan(document(data=data)).prep_config.max_missing == expected


def test_zero_is_a_value() -> None:
    made = plan(document(size="Tiny", training={"gradientClipping": 0}))
    assert made.run_config.gradient_clipping == 0
    assert plan(document(size="Tiny")).run_config.gradient_clipping == 1


def test_all_fields_plans_without_what_comes_later() -> None:
    raw = sample("all-fields")
    for path in LATER:
        holder = raw
        *parents, last = path.split(".")
        for part in parents:
            holder = holder[part]
        del holder[last]
    made = plan(raw)
    assert made.cache_claim.name == "shared-cache"
    assert made.prep_config.max_missing == 500
    assert made.run_config.checkpoint.keep == 3


@pytest.mark.parametrize(
    ("attention", "image", "kernels"),
    [
        (None, "sdpa,eager", "sdpa or eager"),  # the default of the published sizes
        ("flash_attention_2", "eager", "eager"),
        ("sdpa", "flash_attention_2", "flash_attention_2"),
    ],
)
def test_a_kernel_that_is_not_in_the_image_is_refused(
    attention: str | None, image: str, kernels: str
) -> None:
    training = {} if attention is None else {"attention": attention}
    raw = parse(document(training=training, output={"size": "1Gi"}))
    with pytest.raises(InvalidSpec) as refused:
        make_plan(raw, Settings(trainer_attention=image))
    first, second = refused.value.violations
    assert first.field == "spec.training.attention"
    assert first.fix == f"use {kernels}, or give the operator an image that has it"
    assert second.field == "spec.output.size"


def test_a_kernel_that_is_in_the_image_is_planned() -> None:
    for attention in ("sdpa", "eager"):
        raw = parse(document(size="Tiny", training={"attention": attention}))
        made = make_plan(raw, Settings(trainer_attention="eager,sdpa"))
        assert made.run_config.attention == attention


def test_packing_reaches_the_trainer_with_a_kernel_that_can_do_it() -> None:
    for packing, kernel in (
        ("none", "flash_attention_2"),
        ("sequence", "flash_attention_2"),
        ("prefix", "sdpa"),
    ):
        config = plan(document(training={"packing": packing})).run_config
        assert (config.packing, config.attention) == (packing, kernel)


def test_prep_gets_the_users_length_and_model() -> None:
    made = plan(document(training={"maxLength": 1024}, model={"base": "o/n", "revision": "abc"}))
    assert made.prep_config.max_length == 1024
    model = made.prep_config.model
    assert (model.kind, model.base, model.revision) == ("llava", "o/n", "abc")


def test_tiny_is_built_unless_the_user_names_a_model() -> None:
    assert plan(document(size="Tiny")).prep_config.model == ModelSource(kind="tiny")
    made = plan(document(size="Tiny", model={"base": "o/n", "revision": "abc"}))
    assert made.prep_config.model == ModelSource(kind="llava", base="o/n", revision="abc")
