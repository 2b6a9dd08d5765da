"""kube-score finds nothing critical in the chart that is not explained."""

import json
import subprocess
from typing import Any, Final

import pytest
import yaml

from cluster.harness.programs import program
from support.helm_chart import CHART, template

pytestmark = pytest.mark.cluster

CRITICAL: Final = 1
EXPLAINED: Final = yaml.safe_load((CHART.parent / "kube-score.yaml").read_text("utf-8"))


def critical_checks(*arguments: str) -> set[str]:
    """The checks that some object of the chart fails."""
    options = ("--output-format=json", "--kubernetes-version=v1.30", "-")
    done = subprocess.run(
        [program("kube-score"), "score", *options],
        input=template(*arguments),
        capture_output=True,
        text=True,
    )
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return {
        check["check"]["id"]
        for one in found
        for check in one["checks"]
        if not check["skipped"] and check["grade"] == CRITICAL
    }


def test_what_is_critical_is_explained_and_nothing_else() -> None:
    assert critical_checks() == set(EXPLAINED)


def test_it_would_find_what_is_missing() -> None:
    without = critical_checks("--set=networkPolicy.enabled=false,images.tag=latest")
    assert without - set(EXPLAINED) == {"pod-networkpolicy", "container-image-tag"}


def test_the_values_that_the_explanations_name_are_enough() -> None:
    named = "resources.limits.cpu=1,images.pullPolicy=Always,runAsUser=20000"
    assert critical_checks(f"--set={named}") == set()
