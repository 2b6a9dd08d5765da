"""Conversion needs the memory of a part of a shard, there and back, whatever the checkpoint's size.

Measured in a process of its own: the most that was resident while it converted (the kernel's
VmHWM, which counts the files' pages too), less what was resident when the imports were done.
"""

import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from qinstruct_trainer.model.tensors import open_checkpoint, view_again
from support.matrix import IS_WHOLE
from support.model.checkpoints import write_clip, write_wide_original

pytestmark = pytest.mark.slow

CONVERT = """
import sys
from pathlib import Path
from qinstruct_trainer.contract.config import ModelSource
from qinstruct_trainer.model.original import write_original
from qinstruct_trainer.prep.model import build_model

def status(field):
    (line,) = (each for each in open("/proc/self/status") if each.startswith(field))
    return int(line.split()[1]) << 10

def quiet(done, total):
    pass

base, hub, back, clip = map(Path, sys.argv[1:5])
limits = {"max_shard_bytes": int(sys.argv[5])} if sys.argv[5:] else {}
source = ModelSource(kind="llava", base=str(base), vision_tower=str(clip))
before = status("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
build_model(source, hub, seed=0, texts=[], progress=quiet, **limits)
there = status("VmHWM") - before
Path("/proc/self/clear_refs").write_text("5")
write_original(hub, back, vision_tower=str(clip), progress=quiet, **limits)
print(there, status("VmHWM") - before)
"""


def digests(folder: Path) -> dict[str, bytes]:
    """Of every tensor, one after the other."""
    found = {}
    for tensor in open_checkpoint(folder):
        found[tensor.name] = sha256(
            view_again([tensor])[0].view(torch.uint8).numpy().tobytes()
        ).digest()
    return found


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("layers", "hidden", "limit"),
    [
        pytest.param(2, 1536, ["33554432"], id="130 MB, in shards of 32 MB"),
        pytest.param(
            6,
            4096,
            [],
            id="2.4 GB",
            marks=pytest.mark.skipif(not IS_WHOLE, reason="writes 7 GB: make test-all"),
        ),
    ],
)
def test_it_peaks_below_the_largest_shard(
    layers: int, hidden: int, limit: list[str], tmp_path: Path
) -> None:
    base, clip, hub, back = (tmp_path / name for name in ("llava", "clip", "hub", "back"))
    write_clip(clip)
    write_wide_original(base, layers=layers, hidden=hidden)
    hub.mkdir()
    largest = max(file.stat().st_size for file in base.glob("*.bin"))

    command = [sys.executable, "-c", CONVERT, *map(str, (base, hub, back, clip)), *limit]
    done = subprocess.run(command, check=True, capture_output=True, text=True)

    there, again = map(int, done.stdout.split())
    assert max(there, again) < 1.3 * largest
    assert digests(back) == digests(base)
