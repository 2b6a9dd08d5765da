"""Unpack archives of photographs into a unit of the cache: files, bytes and CPU seconds.

    python bench/extract.py [NUM_FILES] [--before CHECKOUT] [--rounds N]

Each round unpacks each kind in a process of its own, and with `--before` also by the code of
another checkout, one right after the other. The archives and what is unpacked take some 290 KB a
file below the system's folder for temporary files.
"""

import argparse
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

NUM_PICTURES = 60  # of which the files are copies: their content does not matter, its entropy does
NAME = "coco"


def jpeg(rng: np.random.Generator) -> bytes:
    """640 x 480 of soft shapes with noise: 30 to 140 KB, 70 on average."""
    shapes = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    soft = np.asarray(shapes.resize((640, 480), Image.Resampling.BICUBIC), np.float32)
    noisy = soft + rng.normal(0, rng.uniform(4, 14), soft.shape)
    content = io.BytesIO()
    picture = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
    picture.save(content, "JPEG", quality=int(rng.integers(75, 92)))
    return content.getvalue()


def members(num_files: int) -> Iterator[tuple[str, bytes]]:
    """Names as COCO's, and contents."""
    rng = np.random.default_rng(0)
    pictures = [jpeg(rng) for _ in range(NUM_PICTURES)]
    for number in range(num_files):
        yield f"train2017/{number:012d}.jpg", pictures[number % NUM_PICTURES]


def write_archives(folder: Path, num_files: int) -> list[Path]:
    """A tar, and a zip of either kind."""
    tar, stored, deflated = (folder / name for name in ("tar", "zip stored", "zip deflated"))
    with tarfile.open(tar, "w") as package:
        for name, content in members(num_files):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            package.addfile(member, io.BytesIO(content))
    for path, kind in ((stored, zipfile.ZIP_STORED), (deflated, zipfile.ZIP_DEFLATED)):
        with zipfile.ZipFile(path, "w", kind) as archive:
            for name, content in members(num_files):
                archive.writestr(name, content)
    return [tar, stored, deflated]


def unpack(archive: Path, cache: Path) -> None:
    """Make the unit, and print what it took. Runs with the code of either checkout."""
    from qinstruct_trainer.prep.extract import extract
    from qinstruct_trainer.prep.progress import Progress
    from qinstruct_trainer.prep.unit_cache import UnitCache
    from qinstruct_trainer.prep.unit_manifest import Unit

    def build(folder: Path) -> object:
        progress = Progress(lambda _: None, "extract", NAME, "files")
        written: object = extract(archive, NAME, folder / "files", progress)
        if not isinstance(written, dict):  # what it was before
            return None
        return {f"files/{path}": file for path, file in written.items()}

    begin, before = time.perf_counter(), os.times()
    units = UnitCache(cache, "bench", lambda _: None)
    units.get(Unit("extract", NAME, ()), build)  # type: ignore[arg-type]
    used = os.times()
    result = {
        "seconds": time.perf_counter() - begin,
        "cpu": used.user + used.system - before.user - before.system,
        "mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    sys.stdout.write(json.dumps(result))


def measure(archive: Path, checkout: Path) -> dict[str, float]:
    """In a process of its own, with the trainer of a checkout."""
    environment = os.environ | {"PYTHONPATH": str(checkout / "trainer/src")}
    with tempfile.TemporaryDirectory(dir=archive.parent) as cache:
        command = [sys.executable, __file__, "--unpack", str(archive), cache]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("num_files", nargs="?", type=int, default=10_000)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--unpack", nargs=2, type=Path)
    parsed = parser.parse_args()
    if parsed.unpack:
        unpack(*parsed.unpack)
        return
    here = Path(__file__).parents[1]
    checkouts = {"before": parsed.before, "after": here} if parsed.before else {"now": here}
    with tempfile.TemporaryDirectory() as scratch:
        archives = write_archives(Path(scratch), parsed.num_files)
        for archive in archives:
            results: dict[str, list[dict[str, float]]] = {label: [] for label in checkouts}
            for _ in range(parsed.rounds):
                for label, checkout in checkouts.items():
                    results[label].append(measure(archive, checkout))
            for label, measured in results.items():
                show(f"{archive.name}, {label}", measured, parsed.num_files, archive.stat().st_size)


def show(label: str, measured: list[dict[str, float]], num_files: int, num_bytes: int) -> None:
    seconds, cpu = (statistics.median(one[key] for one in measured) for key in ("seconds", "cpu"))
    peak = max(one["mebibytes"] for one in measured)
    print(
        f"{label}: {num_files / seconds:,.0f} files/s, {num_bytes / seconds / 1e6:,.0f} MB/s, "
        f"{cpu:.2f} CPU seconds (least {min(one['cpu'] for one in measured):.2f}), "
        f"peak memory {peak:.0f} MiB",
        flush=True,
    )


if __name__ == "__main__":
    main()
