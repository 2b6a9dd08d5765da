"""Properties of any valid document."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from qinstruct_operator.api import parse
from qinstruct_operator.api.spec import Spec
from qinstruct_operator.core.names import training_name
from qinstruct_operator.core.render import render_yaml
from qinstruct_operator.errors import InvalidSpec
from qinstruct_trainer.contract.batch import accumulation_steps
from support.operator_documents import document, plan
from support.operator_documents import manifests as manifests_of

NAMES = st.from_regex(r"[a-z]([-a-z0-9]{0,46}[a-z0-9])?", fullmatch=True)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    size = draw(st.sampled_from(["7B", "13B", "Tiny"]))
    processes = 2 if size == "Tiny" else 8
    micro = draw(st.sampled_from([None, 1, 2, 4, 8, 16]))
    training = {
        "globalBatchSize": processes * (micro or 1) * draw(st.integers(1, 16)),
        "microBatchSize": micro,
        "epochs": draw(st.integers(1, 9)),
        "learningRate": draw(st.floats(1e-8, 1, allow_subnormal=False)),
        "seed": draw(st.integers(0, 2**31 - 1)),
    }
    return document(
        name=draw(NAMES),
        size=size,
        strategy=draw(st.sampled_from(["mix", "after"])),
        training={key: value for key, value in training.items() if value is not None},
        checkpoint={"keep": draw(st.integers(1, 9))},
        output={"retain": draw(st.booleans())},
    )


@settings(deadline=None, max_examples=50)
@given(documents(), st.integers(1, 99999))
def test_any_valid_document(raw: dict[str, Any], attempt: int) -> None:
    made = plan(raw)
    config = made.run_config
    steps = accumulation_steps(config.global_batch_size, config.micro_batch_size, config.world_size)
    assert steps * config.micro_batch_size * config.world_size == config.global_batch_size
    assert len(training_name(made.name, attempt)) <= 54
    manifests = manifests_of(made, attempt)
    assert render_yaml(manifests) == render_yaml(manifests_of(plan(raw), attempt))
    for manifest in manifests:
        assert len(manifest["metadata"]["name"]) <= 63
        assert all(len(value) <= 63 for value in manifest["metadata"]["labels"].values())


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
GROUPS = st.sampled_from([str(field.alias) for field in Spec.model_fields.values()])
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8) | GROUPS, inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(GROUPS | st.text(max_size=8) | st.integers(), ANYTHING, max_size=4))
def test_any_spec_at_all_is_planned_or_refused_in_sentences(spec: dict[Any, Any]) -> None:
    raw = document()
    raw["spec"] |= spec
    try:
        plan(raw)
    except InvalidSpec as error:
        sentences = [violation.sentence() for violation in error.violations]
        assert sentences
        assert all("\n" not in sentence and "; " in sentence for sentence in sentences)


def test_status_of_a_newer_operator_is_read() -> None:
    training = parse(document() | {"status": {"phase": "Running", "weather": {"wind": 3}}})
    assert training.status is not None
    assert training.status.phase == "Running"
