"""Images a second of one core: decoded by Pillow, by the gate, and loaded from the pixel store.

python bench/pixels.py [NUM_IMAGES]

CPU seconds of one process, the best of three rounds that take turns.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import skimage.data
import torch
from PIL import Image

from qinstruct_trainer.data import images
from qinstruct_trainer.data.image_tokens import cut_record
from qinstruct_trainer.data.index.reader import Index
from qinstruct_trainer.data.index.writer import IndexWriter
from qinstruct_trainer.data.pixel_store import PixelStore
from qinstruct_trainer.durable_files import delete_tree
from qinstruct_trainer.prep import images as prep_images
from qinstruct_trainer.prep.pixels import PixelUnits
from qinstruct_trainer.prep.progress import Progress
from qinstruct_trainer.prep.unit_cache import UnitCache
from qinstruct_trainer.train.batches.loader import MicroBatches
from qinstruct_trainer.train.batches.order import SampleOrder

SHAPES = ((640, 480), (480, 640), (1024, 768))
SIZE, BATCH, ROUNDS = 336, 16, 3
IMAGE_TOKEN_ID, NUM_IMAGE_TOKENS, MAX_LENGTH = 32_000, 576, 2048


def write_photographs(folder: Path, shape: tuple[int, int], num_images: int) -> list[Path]:
    folder.mkdir()
    subjects = [getattr(skimage.data, name) for name in ("astronaut", "chelsea", "coffee")]
    photographs = [Image.fromarray(np.asarray(subject())).resize(shape) for subject in subjects]
    paths = [folder / f"{number}.jpg" for number in range(num_images)]
    for number, path in enumerate(paths):
        photographs[number % len(photographs)].save(path, quality=85 + number % 10)
    return paths


def naive(paths: list[Path], *, resize: bool) -> None:
    """As the published code loads images, up to normalisation."""
    for path in paths:
        image = Image.open(path).convert("RGB")
        if resize:
            edge = max(image.size)
            square = Image.new("RGB", (edge, edge), images.PADDING)
            square.paste(image, ((edge - image.width) // 2, (edge - image.height) // 2))
            square.resize((SIZE, SIZE), Image.Resampling.BICUBIC)


def progress() -> Progress:
    return Progress(lambda _: None, "gate", "records", "files")


def pixel_units(folder: Path, paths: list[Path], reserve: int = 0) -> PixelUnits:
    cache = UnitCache(folder / "cache", "bench", lambda _: None)
    cache.root.mkdir(exist_ok=True)
    return PixelUnits(cache, (paths[0].parent,), ("key",), SIZE, "1", reserve)


def gate(folder: Path, paths: list[Path], *, store: bool) -> None:
    """Everything of a cold gate that is about images."""
    delete_tree(folder / "cache")
    names = [path.name for path in paths]
    if store:
        pixel_units(folder, paths).table(names, progress())
    else:
        pixel_units(folder, paths, reserve=1 << 62).examine(names, progress())


def micro_batches(folder: Path, paths: list[Path], store: PixelStore | None) -> MicroBatches:
    ids = np.arange(3, 123)
    ids[39] = IMAGE_TOKEN_ID
    labels = np.where(np.arange(120) >= 60, ids, -100)
    record = cut_record(ids, labels, IMAGE_TOKEN_ID, NUM_IMAGE_TOKENS, MAX_LENGTH)
    with IndexWriter(
        folder / "index",
        image_token_id=IMAGE_TOKEN_ID,
        num_image_tokens=NUM_IMAGE_TOKENS,
        pad_token_id=32_001,
        max_length=MAX_LENGTH,
        roots=[paths[0].parent],
    ) as writer:
        for path in paths:
            writer.add(record, words=40, image=(0, path.name))
    index = Index.open(folder / "index")
    lengths = index.modality_lengths
    order = SampleOrder(
        lengths,
        grouped=False,
        seed=0,
        epochs=1,
        global_batch_size=BATCH,
        micro_batch_size=BATCH,
        world_size=1,
    )
    return MicroBatches(index, order, 0, SIZE, store)


def load(batches: MicroBatches) -> None:
    for step in range(batches.order.num_steps):
        batches.batch(step, 0)


def measure(folder: Path, shape: tuple[int, int], num_images: int) -> dict[str, float]:
    """Images a CPU second, by what was done."""
    paths = write_photographs(folder / "photographs", shape, num_images)
    (folder / "kept").mkdir()
    names = [path.name for path in paths]
    table = pixel_units(folder / "kept", paths).table(names, progress())
    assert table is not None
    stored = micro_batches(folder, paths, PixelStore.open(table, SIZE))
    decoding = micro_batches(folder, paths, None)
    ways: dict[str, Callable[[], object]] = {
        "Pillow decodes": lambda: naive(paths, resize=False),
        "Pillow decodes, pads and resizes": lambda: naive(paths, resize=True),
        "gate, only verified": lambda: gate(folder, paths, store=False),
        "gate and pixels": lambda: gate(folder, paths, store=True),
        "loader, decoding": lambda: load(decoding),
        "loader, from the store": lambda: load(stored),
    }
    best = dict.fromkeys(ways, 0.0)
    for _ in range(ROUNDS):
        for name, do in ways.items():
            begin = time.process_time()
            do()
            best[name] = max(best[name], num_images / (time.process_time() - begin))
    return best


def main() -> None:
    torch.set_num_threads(1)
    num_images = int(sys.argv[1]) if len(sys.argv) > 1 else 192
    prep_images._IN_PROCESS = num_images  # the CPU seconds of this process
    for shape in SHAPES:
        with tempfile.TemporaryDirectory() as folder:
            found = measure(Path(folder), shape, num_images)
        print(f"{shape[0]} x {shape[1]}:")
        for name, rate in found.items():
            print(f"  {name:34} {rate:6,.0f} images a CPU second")


if __name__ == "__main__":
    main()
