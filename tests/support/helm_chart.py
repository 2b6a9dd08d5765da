"""The Helm chart as its tests render it, with the real Helm."""

import json
import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import yaml

from cluster.harness.programs import program
from support.readme import ROOT

CHART: Final = ROOT / "helm" / "qinstruct-operator"
RELEASE: Final = "qinstruct-operator"
"""The release's name and namespace that `manifests/base` has."""
NAMESPACE: Final = "qinstruct-system"

Manifest = dict[str, Any]
Values = dict[str, Any]


class HelmError(Exception):
    """Helm ended with another code than 0; the text is what it said."""


def helm(
    *arguments: str | Path, kubeconfig: Path | None = None, values: Values | None = None
) -> str:
    """What Helm prints.

    Args:
        arguments: as on its command line.
        kubeconfig: of the cluster that it works on.
        values: like a file of `--values`.
    """
    with_values = [] if values is None else ["--values=-"]
    done = subprocess.run(
        [program("helm"), *arguments, *with_values],
        input=None if values is None else json.dumps(values),
        env=os.environ | {"KUBECONFIG": str(kubeconfig or os.devnull), "HELM_DRIVER": "secret"},
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise HelmError(done.stderr.strip())
    return done.stdout


def template(*arguments: str, values: Values | None = None) -> str:
    """The manifests of a release, as text."""
    return helm("template", RELEASE, CHART, f"--namespace={NAMESPACE}", *arguments, values=values)


def render(*arguments: str, values: Values | None = None) -> list[Manifest]:
    """The same, read."""
    return list(filter(None, yaml.safe_load_all(template(*arguments, values=values))))


def of_kind(manifests: Iterable[Manifest], *kinds: str) -> list[Manifest]:
    """Those of these kinds."""
    return [one for one in manifests if one["kind"] in kinds]


def operator_container(manifests: Iterable[Manifest]) -> Manifest:
    """The only container of the only Deployment."""
    (deployment,) = of_kind(manifests, "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    found: Manifest = container
    return found


def without_tests(manifests: Iterable[Manifest]) -> list[Manifest]:
    """What an install creates: all but the pod of `helm test`."""
    return [one for one in manifests if "helm.sh/hook" not in _annotations(one)]


def why_not_ready(notes: str) -> str:
    """The command of a release's notes that says why the operator is not ready."""
    (command,) = re.findall(r"says why;.*\n\n  (kubectl .*)", notes)
    return str(command)


def _annotations(manifest: Manifest) -> dict[str, str]:
    found: dict[str, str] = manifest["metadata"].get("annotations") or {}
    return found
