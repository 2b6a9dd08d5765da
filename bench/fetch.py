"""One stream against segments, up to four at once: time, and seconds of the CPU for a GB.

    python bench/fetch.py [MIB]

A server of its own process on loopback; once it gives each connection 16 MB/s, as servers on the
internet do in one way or another, and once all it can.

With 192 MiB on a busy machine of two cores: 2.38 times as fast where connections are limited, with
as many CPU seconds a GB. Without a limit there is only one connection, and segments take 1.13 times
the CPU (1.18 instead of 1.05 s a GB; 1.34 times when there were always four): most of the rest is
that of bringing bytes and their record to the disk 24 times, which they wait for (0.59 to 0.32 s).
"""

import hashlib
import multiprocessing
import random
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from qinstruct_trainer.contract.config import Source
from qinstruct_trainer.prep.progress import Progress
from qinstruct_trainer.prep.sources.http import fetch
from qinstruct_trainer.prep.sources.spans import SEGMENTATION, Segmentation
from support.prep.file_server import serve

ONE_STREAM = Segmentation(min_bytes=1 << 62)
BYTES_PER_SECOND = 16e6
ROUNDS = 3


def run_server(folder: Path, bytes_per_second: float | None, pipe: Connection) -> None:
    with serve(folder) as server:
        server.bytes_per_second, server.step_bytes = bytes_per_second, 256 << 10
        pipe.send(server.url)
        pipe.recv()


def measure(url: str, folder: Path, segmentation: Segmentation, digest: str) -> tuple[float, float]:
    """Seconds by the clock, and of this process on the CPU."""
    source = Source(name="file", kind="images", url=f"{url}/file")
    progress = Progress(lambda _: None, "fetch", "file", "bytes")
    began, cpu = time.perf_counter(), time.process_time()
    path = fetch(source, folder / "part", progress, segmentation=segmentation)
    seconds = time.perf_counter() - began, time.process_time() - cpu
    with path.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == digest
    for left in folder.glob("part*"):
        left.unlink()
    return seconds


def compare(folder: Path, bytes_per_second: float | None, digest: str, gigabytes: float) -> None:
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(
        target=run_server, args=(folder, bytes_per_second, theirs), daemon=True
    )
    server.start()
    url = ours.recv()
    streams, segments = [], []
    for _ in range(ROUNDS):  # in turns, so that whatever else runs slows both
        streams.append(measure(url, folder, ONE_STREAM, digest))
        segments.append(measure(url, folder, SEGMENTATION, digest))
    ours.send(None)
    server.join()
    (stream, stream_cpu), (segment, segment_cpu) = (
        (min(wall for wall, _ in runs), min(cpu for _, cpu in runs)) for runs in (streams, segments)
    )
    print(
        f"{'16 MB/s a connection' if bytes_per_second else 'no limit'}: one stream {stream:.2f} s, "
        f"segments {segment:.2f} s: {stream / segment:.2f} times as fast; CPU "
        f"{stream_cpu / gigabytes:.2f} and {segment_cpu / gigabytes:.2f} s a GB: "
        f"{segment_cpu / stream_cpu:.2f} times as much"
    )


def main() -> None:
    mebibytes = int(sys.argv[1]) if len(sys.argv) > 1 else 256
    with tempfile.TemporaryDirectory() as scratch:
        content = random.Random(0).randbytes(1 << 20) * mebibytes
        (Path(scratch) / "file").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        for bytes_per_second in (BYTES_PER_SECOND, None):
            compare(Path(scratch), bytes_per_second, digest, len(content) / 1e9)


if __name__ == "__main__":
    main()
