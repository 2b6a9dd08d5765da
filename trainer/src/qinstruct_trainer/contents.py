"""Says what this installation contains, without importing torch unless it has flash-attn."""

import importlib
import importlib.util
import platform
import runpy
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from qinstruct_trainer.contract.config import Attention
from qinstruct_trainer.contract.contents import Contents
from qinstruct_trainer.contract.errors import ConfigError

PACKAGES: Final = (
    "qinstruct",
    "torch",
    "transformers",
    "deepspeed",
    "accelerate",
    "tokenizers",
    "safetensors",
    "numpy",
    "pillow",
    "flash-attn",
)
"""Packages that decide what a training computes."""

_OPERATOR: Final = ("kopf", "kubernetes", "pydantic")
"""Packages that decide how an operator behaves."""


def installed_versions(names: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Versions of these packages; what is not installed has no entry."""
    found = {}
    for name in names:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def installed_contents() -> Contents:
    """Versions and attention kernels of the Python that runs this."""
    packages = installed_versions()
    cuda = _cuda_of_torch()
    torch_fault = None if "torch" in packages else "torch is not installed"
    faults: dict[Attention, str | None] = {
        "flash_attention_2": torch_fault or _fault_of_flash_attention(packages, cuda),
        "sdpa": torch_fault,
        "eager": torch_fault,
    }
    return Contents(
        python=platform.python_version(),
        packages=packages | installed_versions(_OPERATOR),
        cuda=cuda,
        attention=tuple(name for name, fault in faults.items() if fault is None),
        missing_attention={name: fault for name, fault in faults.items() if fault is not None},
    )


def check_attention(kernel: Attention) -> None:
    """Refuse an attention kernel that cannot run, before a model is loaded for it.

    Raises:
        ConfigError: with the reason.
    """
    contents = installed_contents()
    fault = contents.missing_attention.get(kernel)
    if fault is not None:
        raise ConfigError(
            f"training.attention {kernel} cannot run here: {fault}; use "
            f"{' or '.join(contents.attention)}, or an image that has it"
        )


def _cuda_of_torch() -> str | None:
    """The CUDA version of the build; read from its version file, since torch takes seconds."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    values = runpy.run_path(str(Path(spec.origin).with_name("version.py")))
    return values.get("cuda")


def _fault_of_flash_attention(packages: dict[str, str], cuda: str | None) -> str | None:
    """Why flash-attn cannot run, or None; it is imported, for many a build fails only then."""
    if cuda is None:
        return f"torch {packages['torch']} is a build for CPUs"
    if "flash-attn" not in packages:
        return "the package flash-attn is not installed"
    try:
        importlib.import_module("flash_attn")
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        first_line = f"{type(error).__name__}: {error}".splitlines()[0]
        return f"flash-attn {packages['flash-attn']} cannot be imported: {first_line}"
    return None
