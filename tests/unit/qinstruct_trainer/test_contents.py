"""What an installation says of itself, as a process with and without flash-attn."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from qinstruct_trainer.contents import check_attention
from qinstruct_trainer.contract.contents import Contents
from qinstruct_trainer.contract.errors import ConfigError
from qinstruct_trainer.contract.launch import contents_command


def contents(*more_packages: Path) -> Contents:
    """As a Python says it that finds more packages."""
    done = subprocess.run(
        contents_command(sys.executable),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, more_packages))},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stderr == ""
    return Contents.model_validate_json(done.stdout)


def install(folder: Path, name: str, version: str, files: dict[str, str]) -> Path:
    """A package as pip leaves it."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return folder


def gpu_torch(folder: Path) -> Path:
    """A torch that was built for GPUs; only its version file is ever read."""
    files = {"torch/__init__.py": "raise SystemExit(9)", "torch/version.py": "cuda = '13.0'"}
    return install(folder, "torch", "2.13.0", files)


def test_an_installation_without_flash_attention_says_so() -> None:
    found = contents()
    assert found.packages["torch"] == version("torch")
    assert found.packages["transformers"] == version("transformers")
    assert "flash-attn" not in found.packages
    assert found.attention == ("sdpa", "eager")
    assert set(found.missing_attention) == {"flash_attention_2"}


def test_flash_attention_that_can_be_imported(tmp_path: Path) -> None:
    torch = gpu_torch(tmp_path / "torch")
    kernels = install(tmp_path / "flash", "flash-attn", "2.8.3", {"flash_attn/__init__.py": ""})
    found = contents(torch, kernels)
    assert (found.cuda, found.packages["flash-attn"]) == ("13.0", "2.8.3")
    assert found.attention == ("flash_attention_2", "sdpa", "eager")
    assert found.missing_attention == {}


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "raise ImportError('flash_attn_2_cuda.so: undefined symbol: _ZN3c105Error')",
            "ImportError: flash_attn_2_cuda.so: undefined symbol: _ZN3c105Error",
        ),
        ("raise OSError('libcudart.so.12: cannot open')", "OSError: libcudart.so.12: cannot open"),
        ("raise RuntimeError('GPU too old\\nmore')", "RuntimeError: GPU too old"),
    ],
    ids=["built for another torch", "built for another CUDA", "another reason"],
)
def test_flash_attention_that_cannot_be_imported(code: str, said: str, tmp_path: Path) -> None:
    torch = gpu_torch(tmp_path / "torch")
    kernels = install(tmp_path / "flash", "flash-attn", "2.8.3", {"flash_attn/__init__.py": code})
    found = contents(torch, kernels)
    assert found.attention == ("sdpa", "eager")
    expected = f"flash-attn 2.8.3 cannot be imported: {said}"
    assert found.missing_attention == {"flash_attention_2": expected}


def test_flash_attention_beside_a_torch_for_cpus(tmp_path: Path) -> None:
    files = {"torch/__init__.py": "", "torch/version.py": "cuda = None"}
    torch = install(tmp_path / "torch", "torch", "2.13.0+cpu", files)
    kernels = install(tmp_path / "flash", "flash-attn", "2.8.3", {"flash_attn/__init__.py": ""})
    found = contents(torch, kernels)
    assert found.cuda is None
    expected = "torch 2.13.0+cpu is a build for CPUs"
    assert found.missing_attention == {"flash_attention_2": expected}


def test_a_kernel_that_cannot_run_is_refused_before_a_model_is_loaded() -> None:
    check_attention("sdpa")
    check_attention("eager")
    sentence = (
        r"training\.attention flash_attention_2 cannot run here: .*; use sdpa or eager, or an"
    )
    with pytest.raises(ConfigError, match=sentence):
        check_attention("flash_attention_2")
