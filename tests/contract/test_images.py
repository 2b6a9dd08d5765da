"""The images' files keep our rules: what they start from, who they run as, what they are called."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from qinstruct_operator.constants import USER_ID, VERSION
from qinstruct_operator.settings import Settings
from support.readme import ROOT

DOCKERFILES = [ROOT / "operator/Dockerfile", ROOT / "trainer/Dockerfile"]
SCRIPT = ROOT / "scripts/images.sh"
TARGETS = {"operator": "operator", "prep": "prep", "train": "trainer"}


def instructions(file: Path) -> list[tuple[str, str]]:
    """Name and arguments; lines that go on are joined, comments left out."""
    lines = [line for line in file.read_text("utf-8").splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    pairs = (line.split(maxsplit=1) for line in joined.splitlines() if line.strip())
    return [(name, " ".join(rest.split())) for name, rest in pairs]


def images(*targets: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["bash", SCRIPT, *targets],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.parent.name)
def test_an_image_starts_from_an_argument_or_an_earlier_stage(file: Path) -> None:
    stages: set[str] = set()
    for name, arguments in instructions(file):
        if name == "FROM":
            base, _, stage = arguments.partition(" AS ")
            assert base in {"${BASE}", "${CUDA_BASE}"} | stages
            stages.add(stage)
    assert stages


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.parent.name)
def test_whatever_is_installed_is_locked_with_hashes(file: Path) -> None:
    installs = [
        command
        for name, arguments in instructions(file)
        if name == "RUN"
        for command in arguments.split(" && ")
        if re.search(r"\bpip\b.* install\b", command)
    ]
    assert len(installs) >= 3
    for command in installs:
        if command.endswith(" ./*.whl"):  # our own, built a line before
            continue
        (lock,) = re.findall(r"-r (\S+)", command)
        assert "--require-hashes" in command
        text = (ROOT / "requirements" / lock).read_text("utf-8")
        pins = re.findall(r"^[a-z0-9].*==", text, re.MULTILINE)
        assert len(pins) == len(re.findall(r"^[a-z0-9]", text, re.MULTILINE)) > 0
        assert text.count("--hash=sha256:") >= len(pins)


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.parent.name)
def test_what_is_built_has_one_order_of_sets(file: Path) -> None:
    """DeepSpeed's setup.py writes a set into its metadata: each build was another layer."""
    seeded: dict[str, bool] = {}
    for name, arguments in instructions(file):
        if name == "FROM":
            base, _, stage = arguments.partition(" AS ")
            seeded[stage] = seeded.get(base, False)
        elif name == "ENV" and "PYTHONHASHSEED=0" in arguments:
            seeded[stage] = True
        elif name == "RUN" and re.search(r"\bpip\b.* install\b|compileall|uv build", arguments):
            assert seeded[stage], stage
    assert sum(seeded.values()) >= 3


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.parent.name)
def test_images_run_as_the_user_that_owns_the_claims(file: Path) -> None:
    users = [arguments for name, arguments in instructions(file) if name == "USER"]
    assert set(users) == {f"{USER_ID}:{USER_ID}"}


def test_one_version_tags_the_images_that_the_operator_asks_for() -> None:
    settings = Settings()
    script = SCRIPT.read_text("utf-8")
    assert "${REGISTRY:-ghcr.io/qinstruct}" in script
    for image in (settings.prep_image, settings.trainer_image):
        name = image.removeprefix("ghcr.io/qinstruct/").removesuffix(f":{VERSION}")
        assert f"name={name} " in script
    for file in DOCKERFILES:
        versions = [text for name, text in instructions(file) if text.startswith("VERSION=")]
        assert set(versions) == {f"VERSION={VERSION}"}


def test_a_lock_without_a_gpu_is_the_trainers_less_what_only_a_gpu_needs() -> None:
    locks = [
        set(re.findall(r"^[a-z0-9].*==\S+", text, re.MULTILINE))
        for text in (
            (ROOT / "requirements" / f"{name}.txt").read_text("utf-8")
            for name in ("trainer", "trainer-cpu")
        )
    ]
    assert locks[1] < locks[0]
    only_gpu = {line.split("==")[0].split("[")[0] for line in locks[0] - locks[1]}
    assert {"triton", "nvidia-cudnn-cu13", "cuda-toolkit"} <= only_gpu
    assert all(re.match("nvidia-|cuda-|triton$", name) for name in only_gpu)


def test_no_image_is_built_without_a_builder_or_under_another_name() -> None:
    done = images(BUILDER="none")
    assert (done.returncode, done.stdout) == (69, "")
    assert "apt-get install buildah" in done.stderr
    done = images("trianer", BUILDER="buildah")
    assert (done.returncode, done.stdout) == (64, "")
    assert done.stderr.startswith("trianer is no image: operator, prep, train")


def test_of_an_image_that_is_not_built_no_list_is_written_and_the_way_to_it_is_said(
    tmp_path: Path,
) -> None:
    buildah = tmp_path / "buildah"
    buildah.write_text("#!/bin/sh\necho image not known >&2\nexit 125\n")
    buildah.chmod(0o755)
    done = subprocess.run(
        ["bash", ROOT / "scripts/sbom.sh", "operator"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "BUILDER": "buildah"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (69, "")
    assert f"operator:{VERSION} cannot be looked into: build it with `make images`" in done.stderr


@pytest.mark.parametrize("target", TARGETS)
def test_a_release_refuses_a_base_without_a_digest(target: str) -> None:
    done = images(target, BUILDER="buildah", PINNED="1", BASE="python:3.11")
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.startswith("BASE python:3.11 has no digest: say BASE=IMAGE@sha256:")


@pytest.mark.parametrize("target", ["prep", "train-cpu"])
@pytest.mark.parametrize(
    "torch", ["", "torch==2.13.0", "torch @ https://download.pytorch.org/whl/cpu/x.whl"]
)
def test_a_release_of_cpu_images_refuses_torch_on_stubs_or_without_a_digest(
    target: str, torch: str
) -> None:
    base = f"localhost/python@sha256:{'0' * 64}"
    done = images(target, BUILDER="buildah", PINNED="1", BASE=base, TORCH_CPU=torch)
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.startswith(f"TORCH_CPU '{torch}' is not PyTorch's build for CPUs with its")


def test_another_torch_takes_the_place_of_the_locked_one_alone(tmp_path: Path) -> None:
    lock = tmp_path / "trainer-cpu.txt"
    before = (ROOT / "requirements" / lock.name).read_text("utf-8")
    lock.write_text(before, "utf-8")
    (command,) = re.findall(r"sed -i '.*' trainer-cpu\.txt", DOCKERFILES[1].read_text("utf-8"))
    subprocess.run(shlex.split(command), cwd=tmp_path, check=True)
    torch = re.findall(r"^torch==(?:.*\\\n)*.*\n", before, re.MULTILINE)
    assert len(torch) == 1
    assert lock.read_text("utf-8") == before.replace(torch[0], "")


def test_a_release_of_the_trainer_refuses_a_cuda_base_without_a_digest() -> None:
    base = f"localhost/python@sha256:{'0' * 64}"
    done = images("train", BUILDER="buildah", PINNED="1", BASE=base)
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.startswith("CUDA_BASE of the Dockerfile has no digest: say CUDA_BASE=")
