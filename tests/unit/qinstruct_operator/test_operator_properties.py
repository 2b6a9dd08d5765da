"""Properties of any valid document."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from qinstruct_operator.core.build import build, render_yaml
from qinstruct_operator.core.names import training_name
from qinstruct_trainer.batch import accumulation_steps
from support.operator_documents import document, plan

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


@settings(deadline=None)
@given(documents(), st.integers(1, 99999))
def test_any_valid_document(raw: dict[str, Any], attempt: int) -> None:
    made = plan(raw)
    config = made.run_config
    steps = accumulation_steps(config.global_batch_size, config.micro_batch_size, config.world_size)
    assert steps * config.micro_batch_size * config.world_size == config.global_batch_size
    assert len(training_name(made.name, attempt)) <= 54
    manifests = build(made, attempt)
    assert render_yaml(manifests) == render_yaml(build(plan(raw), attempt))
    for manifest in manifests:
        assert len(manifest["metadata"]["name"]) <= 63
        assert all(len(value) <= 63 for value in manifest["metadata"]["labels"].values())
