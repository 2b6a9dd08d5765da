"""What a container on a real node sees: this machine's programs and environment, read-only.

The pods of a run shall execute the code of this checkout, and no registry can be reached. So the
image is almost empty, and the runtime mounts what is missing into every container: `/usr`, the
interpreter, the environment's packages and the trainer's source. Where the latter two are seen does
not depend on where they lie, because a pod's own `/tmp` would hide a checkout below `/tmp`.
"""

import hashlib
import io
import json
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

_REPOSITORY: Final = Path(__file__).parents[3]
_ROOT: Final = Path("/opt/qinstruct")  # in the container: a virtual environment and the source
_SOURCE: Final = _ROOT / "src"
_USR: Final = Path("/usr")
_LINKS_TO_USR: Final = tuple(map(Path, ("/bin", "/sbin", "/lib", "/lib32", "/lib64")))
_PYTHON: Final = f"python{sys.version_info.major}.{sys.version_info.minor}"
_PACKAGES: Final = _ROOT / "lib" / _PYTHON / "site-packages"
_INTERPRETER: Final = Path(sys.base_prefix) / "bin" / _PYTHON
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


def why_not() -> str | None:
    """Why containers cannot see this machine's programs, in a sentence; None when they can."""
    if not Path("/bin").is_symlink():
        return "a real node needs a merged /usr, as Debian 12 has it: /bin is no link to usr/bin"
    if Path(sys.base_prefix).is_relative_to("/tmp"):
        return (
            f"the pods mount their own /tmp over the interpreter in {sys.base_prefix}: "
            "make the environment with a Python that lies elsewhere"
        )
    return None


def archive(names: Iterable[str]) -> bytes:
    """The image, under these names, as `ctr images import` reads it."""
    layer = _layer()
    content = {
        "config.json": json.dumps(_config(layer)).encode(),
        "layer.tar": layer,
        "manifest.json": json.dumps(
            [{"Config": "config.json", "RepoTags": list(names), "Layers": ["layer.tar"]}]
        ).encode(),
    }
    return _tar(*(_file(Path(name), data) for name, data in content.items()))


def runtime_spec(default: dict[str, Any]) -> dict[str, Any]:
    """The runtime's own default for every container, with the mounts."""
    process = {key: value for key, value in default["process"].items() if key != "rlimits"}
    return default | {"process": process, "mounts": [*default["mounts"], *_mounts()]}


def _mounts() -> list[dict[str, Any]]:
    mounts = {
        _USR: _USR,
        _PACKAGES: Path(sysconfig.get_path("purelib")),
        _SOURCE: _REPOSITORY / "trainer" / "src",
    }
    if not _INTERPRETER.is_relative_to(_USR):
        mounts[Path(sys.base_prefix)] = Path(sys.base_prefix)
    return [
        {
            "destination": str(destination),
            "source": str(source),
            "type": "bind",
            "options": ["bind", "ro", "nosuid", "nodev"],
        }
        for destination, source in mounts.items()
    ]


def _config(layer: bytes) -> dict[str, Any]:
    return {
        "os": "linux",
        "architecture": _ARCHITECTURES[platform.machine()],
        "config": {
            "Cmd": ["sleep", "infinity"],
            "Env": [f"PATH={_ROOT}/bin:/usr/local/bin:/usr/bin:/bin", f"PYTHONPATH={_SOURCE}"],
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }


def _layer() -> bytes:
    """Links to /usr, a virtual environment, and what the sandbox of a pod runs.

    The runtime mounts nothing into a sandbox, so it needs copies of a program and its libraries.
    """
    links = [_link(path, path.readlink()) for path in _LINKS_TO_USR if path.is_symlink()]
    home = f"home = {_INTERPRETER.parent}\n".encode()
    sleep = shutil.which("sleep") or "sleep"
    listed = subprocess.run(["ldd", sleep], capture_output=True, text=True, check=True).stdout
    copies = [Path(sleep), *map(Path, re.findall(r"(/\S+) \(0x", listed))]
    return _tar(
        *links,
        *(_file(path.parent.resolve() / path.name, path.read_bytes(), 0o755) for path in copies),
        _link(_ROOT / "bin" / "python", _INTERPRETER),
        _file(_ROOT / "pyvenv.cfg", home),
    )


def _link(path: Path, target: Path) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(str(path).lstrip("/"))
    entry.type, entry.linkname = tarfile.SYMTYPE, str(target)
    return entry, b""


def _file(path: Path, content: bytes, mode: int = 0o644) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(str(path).lstrip("/"))
    entry.size, entry.mode = len(content), mode
    return entry, content


def _tar(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for entry, content in entries:
            tar.addfile(entry, io.BytesIO(content))
    return stream.getvalue()
