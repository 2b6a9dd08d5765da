"""Lets PyPI's torch, which is built for CUDA, run on CPUs without CUDA's libraries.

`python3 cuda_stubs.py SITE-PACKAGES/torch`, with gcc. PyPI has no torch for CPUs, and this one
does not load unless 2.7 GB of NVIDIA's libraries lie beside it, of which nothing is used without a
GPU. As NVIDIA's own stub libraries do, each one made here has the functions that torch links to,
and each function says that there is no device (error 100); torch then finds no GPU. Torch's CUDA
version is taken out of its version file, for nothing of CUDA can run.
"""

import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

_OF_CUDA = re.compile(r"lib(cu|nccl|nvrtc|nvshmem)")
_FUNCTION = re.compile(
    r"(__)?(cu[A-Z]|cu(da|blas|dnn|fft|file|pti|rand|sparse)|nccl|nvrtc|nvshmem)"
)
_TEXT = re.compile(r"(String|Name)$")
_NO_DEVICE = 100


def main(torch: Path) -> None:
    """Write the stubs beside torch's own libraries."""
    folder = torch / "lib"
    (folder / "libtorch_cuda_linalg.so").unlink()  # loaded when a GPU first needs it
    for name, versions in _wanted(folder).items():
        _make(folder / name, versions)
    version = torch / "version.py"
    text, found = re.subn(r"(?m)^cuda\b.*$", "cuda = None", version.read_text("utf-8"))
    if found != 1:
        sys.exit(f"{version} names torch's CUDA {found} times, not once")
    version.write_text(text, "utf-8")


def _wanted(folder: Path) -> dict[str, dict[str, list[str]]]:
    """For each library of CUDA that is missing: the functions by their symbol version."""
    libraries = sorted(folder.glob("*.so*"))
    needed, files, wanted, defined = set[str](), dict[str, str](), set[str](), set[str]()
    for library in libraries:
        dynamic = _run("readelf", "--wide", "--dynamic", "--version-info", str(library))
        needed |= set(re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic))
        for file, versions in re.findall(r"File: (\S+) .*\n((?:.* Name: .*\n)+)", dynamic):
            files |= dict.fromkeys(re.findall(r" Name: (\S+)", versions), file)
        for line in _run("nm", "--dynamic", str(library)).splitlines():
            kind, name = line.split()[-2:]
            (wanted if kind == "U" else defined).add(name)
    missing = sorted(needed - {library.name for library in libraries})
    found = {name: defaultdict[str, list[str]](list) for name in missing if _OF_CUDA.match(name)}
    without_version = next(iter(found))  # the loader finds those in any library
    for symbol in sorted(wanted - defined):
        name, _, version = symbol.partition("@")
        library_name = files.get(version) if version else without_version
        if library_name in found and _FUNCTION.match(name):
            found[library_name][version].append(name)
    return {name: dict(versions) for name, versions in found.items()}


def _make(path: Path, versions: dict[str, list[str]]) -> None:
    functions = sorted(name for names in versions.values() for name in names)
    code = (
        f'const char *{name}(void) {{ return "there is no CUDA in this image"; }}'
        if _TEXT.search(name)
        else f"int {name}(void) {{ return {_NO_DEVICE}; }}"
        for name in functions
    )
    script = (
        f"{version} {{ global: {'; '.join(names)}; }};\n"
        for version, names in versions.items()
        if version
    )
    with tempfile.TemporaryDirectory() as folder:
        source, symbols = Path(folder, "stubs.c"), Path(folder, "stubs.map")
        source.write_text("\n".join(code), "utf-8")
        symbols.write_text("".join(script), "utf-8")
        flags = ["-shared", "-fPIC", "-nostdlib", "-Os", "-s", "-w", f"-Wl,-soname,{path.name}"]
        flags += [f"-Wl,--version-script={symbols}"] if symbols.stat().st_size else []
        _run("gcc", *flags, str(source), "-o", str(path))


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    main(Path(sys.argv[1]))
