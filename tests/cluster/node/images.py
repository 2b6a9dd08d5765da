"""The images that a real node runs: built with `scripts/images.sh` on a base of Debian's packages.

No registry of images is asked: the base is made by debootstrap, on it stand the published images'
own Dockerfiles. `python -m cluster.node.images` builds all, `TARGET...` those named. The cache of
the test programs keeps what is built, one archive for each target and state of its sources.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from cluster.harness.programs import BuildError, cache_folder, locked
from qinstruct_operator.constants import VERSION

BASE: Final = "test.qinstruct.dev/base:1"
"""The base's name: also what a node gives its sandboxes and volumes."""

TARGETS: Final = {"operator": "operator", "prep": "prep", "train-cpu": "trainer-cpu"}
"""What `scripts/images.sh` is asked for, and the image's name."""

_ROOT: Final = Path(__file__).parents[3]
_SOURCES: Final = (  # what `.dockerignore` lets into a build, and what builds
    *("LICENSE", "README.md", "pyproject.toml", "requirements", "operator", "trainer"),
    *(".dockerignore", "scripts/builder.sh", "scripts/images.sh"),
)
_PACKAGES: Final = "python3,python3-venv,ca-certificates"
_CERTIFICATES: Final = Path("/etc/ssl/certs/ca-certificates.crt")
_CONTAINERFILE: Final = f"""
FROM scratch
ADD base.tar /
COPY ca-certificates.crt {_CERTIFICATES}
ENV SSL_CERT_FILE={_CERTIFICATES} PIP_CERT={_CERTIFICATES}
CMD ["sleep", "infinity"]
"""
_MOST_BYTES: Final = 15 * 2**30  # of layers of earlier sources; then all begins anew


def image(target: str) -> str:
    """The image's name and tag."""
    return f"ghcr.io/qinstruct/{TARGETS[target]}:{VERSION}"


def why_not() -> str | None:
    """Why no image can be built here, in a sentence; None when one can."""
    if os.geteuid() != 0:
        return f"the images of a real node are built by root, and this is user {os.geteuid()}"
    missing = [name for name in ("buildah", "debootstrap") if shutil.which(name) is None]
    if missing:
        return f"the images of a real node need {missing[0]}: `apt-get install {' '.join(missing)}`"
    return None


def archive(target: str) -> Path:
    """The archive, not compressed, of the base or of a target, built now unless it is there.

    Raises:
        BuildError: with the end of what the builder said.
    """
    made = images_folder() / f"{target}-{_key(target)}.tar"
    with locked(images_folder() / "build"):  # the targets share their first layers
        if not made.exists():
            started = time.monotonic()
            print(f"build image {target} ...", end=" ", file=sys.stderr, flush=True)  # noqa: T201
            _make(target, made)
            seconds = time.monotonic() - started
            print(f"{seconds:.0f} s", file=sys.stderr, flush=True)  # noqa: T201 - progress
    return made


def sbom(target: str) -> dict[str, Any]:
    """What `scripts/sbom.sh` says that the image of a target contains."""
    made, name = archive(target), TARGETS[target]
    with locked(images_folder() / "build"):
        _run("buildah", "pull", "--quiet", f"docker-archive:{made}")
        _run("bash", "scripts/sbom.sh", name)
    found: dict[str, Any] = json.loads((_ROOT / f"build/sbom/{name}.json").read_bytes())
    return found


def _key(target: str) -> str:
    digest = hashlib.sha256(_CONTAINERFILE.encode() + _PACKAGES.encode())
    digest.update(_CERTIFICATES.read_bytes())
    if target != "base":
        for file in _sources():
            digest.update(f"{file.relative_to(_ROOT)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def _sources() -> Iterator[Path]:
    for name in _SOURCES:
        path = _ROOT / name
        files = path.rglob("*") if path.is_dir() else [path]
        yield from sorted(f for f in files if f.is_file() and "__pycache__" not in f.parts)


def _make(target: str, made: Path) -> None:
    for old in made.parent.glob(f"{target}-????????????.tar"):
        old.unlink()
    name = BASE if target == "base" else image(target)
    if target == "base" or not _has_base() or _size_of_layers() > _MOST_BYTES:
        _build_base()
    if target != "base":
        _run("bash", "scripts/images.sh", target)
    with tempfile.TemporaryDirectory(dir=made.parent) as folder:
        file = Path(folder) / "image.tar"
        _run("buildah", "push", name, f"docker-archive:{file}:{name}")  # OCI's are compressed
        file.rename(made)


def _build_base() -> None:
    _run("buildah", "rmi", "--all", "--force")  # what stood on the base before
    with tempfile.TemporaryDirectory(dir=images_folder()) as name:
        folder = Path(name)
        root = folder / "root"
        _run("debootstrap", "--variant=minbase", f"--include={_PACKAGES}", "bookworm", str(root))
        for left in [
            *root.glob("var/cache/apt/archives/*.deb"),
            *root.glob("var/lib/apt/lists/*_*"),
        ]:
            left.unlink()
        with tarfile.open(folder / "base.tar", "w") as tar:
            tar.add(root, arcname=".")
        shutil.copy(_CERTIFICATES, folder)
        (folder / "Containerfile").write_text(_CONTAINERFILE, "utf-8")
        build = ("buildah", "build", "--layers", f"--tag={BASE}")
        _run(*build, f"--file={folder / 'Containerfile'}", str(folder))
        _run("umount", "--quiet", str(root / "proc"), check=False)


def _run(*command: str, check: bool = True) -> None:
    environment = _environment()
    done = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True)
    if check and done.returncode != 0:
        said = (done.stdout + done.stderr).strip()[-2000:]
        raise BuildError(f"{' '.join(command[:2])} failed for the images of a real node: {said}")


def _has_base() -> bool:
    inspect = ("buildah", "inspect", "--type=image", BASE)
    return subprocess.run(inspect, env=_environment(), capture_output=True).returncode == 0


def _size_of_layers() -> int:
    measured = subprocess.run(
        ["du", "--summarize", "--block-size=1", str(images_folder() / "layers")],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(measured.stdout.split()[0])


def _environment() -> dict[str, str]:
    """Buildah's own storage below the cache, whatever this machine has besides."""
    temporary = images_folder() / "tmp"
    temporary.mkdir(exist_ok=True)
    config = images_folder() / "storage.conf"
    if not config.exists():
        driver = "overlay" if can_overlay(temporary) else "vfs"
        config.write_text(
            f'[storage]\ndriver = "{driver}"\ngraphroot = "{images_folder()}/layers"\n'
            f'runroot = "{images_folder()}/run"\n',
            "utf-8",
        )
    return os.environ | {
        "BASE": BASE,
        "BUILDER": "buildah",
        "BUILDAH_ISOLATION": "chroot",
        "CONTAINERS_STORAGE_CONF": str(config),
        "PYTHON": sys.executable,
        "TMPDIR": str(temporary),
    }


def can_overlay(folder: Path) -> bool:
    """Whether the kernel lays file systems over folders here; inside of another it may not."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        lower, upper, work, merged = (Path(name, part) for part in ("l", "u", "w", "m"))
        for part in (lower, upper, work, merged):
            part.mkdir()
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        mount = ["mount", "-t", "overlay", "overlay", "-o", options, str(merged)]
        if subprocess.run(mount, capture_output=True).returncode != 0:
            return False
        subprocess.run(["umount", str(merged)], check=True)
        return True


def images_folder() -> Path:
    """Where the images are kept, and whatever is made of them."""
    folder = cache_folder() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def main() -> None:
    """Build what is named on the command line, or everything; where nothing can be, say why."""
    if reason := why_not():
        print(reason, file=sys.stderr)  # noqa: T201 - the tests say it too
        return
    for target in sys.argv[1:] or ["base", *TARGETS]:
        try:
            print(archive(target))  # noqa: T201 - a command's answer
        except BuildError as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()
