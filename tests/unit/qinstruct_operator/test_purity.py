"""What the operator's packages may pull in."""

import subprocess
import sys
import tomllib

import pytest

from qinstruct_operator.constants import VERSION
from support.operator_documents import ROOT


@pytest.mark.parametrize(
    "module",
    [
        "qinstruct_operator.core.plan.make",
        "qinstruct_operator.core.children",
        "qinstruct_operator.api",
        "qinstruct_operator.api.crd",
        "qinstruct_operator.cli",
    ],
)
def test_importing_never_brings_torch_or_a_cluster_client(module: str) -> None:
    program = (
        f"import sys, {module}\n"
        "heavy = {'torch', 'transformers', 'deepspeed', 'numpy', 'kopf', 'kubernetes'}\n"
        "sys.exit(' '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_images_carry_the_version_of_the_distribution() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["version"] == VERSION


def test_nothing_shadows_the_standard_library() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert not list((ROOT / "tests").rglob("operator/__init__.py"))
