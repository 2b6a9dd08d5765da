"""One version: of the distribution, the images and the chart."""

import tomllib

import pytest
import yaml

from qinstruct_operator.constants import VERSION
from support.helm_chart import CHART, helm, of_kind, operator_container, render
from support.readme import ROOT

pytestmark = pytest.mark.cluster


def test_the_chart_has_the_version_of_the_project() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert (chart["version"], chart["appVersion"]) == (VERSION, VERSION)
    assert project["version"] == VERSION


def test_the_images_have_it_too() -> None:
    made = render()
    container = operator_container(made)
    variables = {one["name"]: one.get("value", "") for one in container["env"]}
    tagged = [variables["QINSTRUCT_PREP_IMAGE"], variables["QINSTRUCT_TRAINER_IMAGE"]]
    (test,) = of_kind(made, "Pod")
    tagged += [container["image"], *(one["image"] for one in test["spec"]["containers"])]
    assert {image.rpartition(":")[2] for image in tagged} == {VERSION}


def test_helm_has_nothing_to_say_against_the_chart() -> None:
    said = helm("lint", "--strict", CHART)
    assert "0 chart(s) failed" in said
    assert "[WARNING]" not in said
