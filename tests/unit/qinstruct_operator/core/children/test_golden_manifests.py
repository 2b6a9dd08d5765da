"""The five samples, rendered: golden files, checked in. `--update-golden` rewrites them."""

import pytest
import yaml

from qinstruct_operator.core.render import render_yaml
from support.operator_documents import ROOT, RUNS, SAMPLES, plan, sample
from support.operator_documents import manifests as manifests_of

GOLDEN = ROOT / "tests" / "golden" / "manifests"


@pytest.mark.parametrize("name", RUNS)
def test_manifests_equal_the_golden_file(name: str, update_golden: bool) -> None:
    text = render_yaml(manifests_of(plan(sample(name))))
    path = GOLDEN / f"{name}.yaml"
    if update_golden:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8")


@pytest.mark.parametrize("name", RUNS)
def test_rendered_yaml_reads_back_as_what_was_built(name: str) -> None:
    manifests = manifests_of(plan(sample(name)))
    assert tuple(yaml.safe_load_all(render_yaml(manifests))) == manifests


def test_there_is_a_golden_file_for_each_sample_and_no_other() -> None:
    assert {path.stem for path in GOLDEN.glob("*.yaml")} == set(RUNS)


@pytest.mark.parametrize("name", RUNS)
def test_samples_are_a_dozen_lines(name: str) -> None:
    lines = (SAMPLES / f"{name}.yaml").read_text("utf-8").splitlines()
    assert len([line for line in lines if line and not line.startswith("#")]) <= 12
