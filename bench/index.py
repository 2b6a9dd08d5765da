"""Write an index of 100,000 records, then open it: memory, size and time.

python bench/index.py [NUM_RECORDS]
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from qinstruct_trainer.data.image_tokens import TokenizedRecord, cut_record
from qinstruct_trainer.data.index.reader import Index
from qinstruct_trainer.data.index.writer import IndexWriter

IMAGE_TOKEN_ID, NUM_IMAGE_TOKENS, MAX_LENGTH = 32_000, 576, 2048
RECORDS_PER_IMAGE = 10


def make_record(rng: np.random.Generator) -> TokenizedRecord:
    ids = rng.integers(3, 32_000, 120)
    ids[39] = IMAGE_TOKEN_ID
    labels = np.where(np.arange(120) >= 60, ids, -100)
    return cut_record(ids, labels, IMAGE_TOKEN_ID, NUM_IMAGE_TOKENS, MAX_LENGTH)


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    num_records = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    rng = np.random.default_rng(0)
    before = peak_mib()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        begin = time.perf_counter()
        with IndexWriter(
            folder,
            image_token_id=IMAGE_TOKEN_ID,
            num_image_tokens=NUM_IMAGE_TOKENS,
            pad_token_id=32_001,
            max_length=MAX_LENGTH,
            roots=[folder],
        ) as writer:
            for number in range(num_records):
                image = (0, f"spaq_koniq/{number // RECORDS_PER_IMAGE:06d}.jpg")
                writer.add(make_record(rng), words=40, image=image)
        seconds = time.perf_counter() - begin
        grown = peak_mib() - before
        size = sum(path.stat().st_size for path in folder.iterdir())
        begin = time.perf_counter()
        index = Index.open(folder)
        opened = time.perf_counter() - begin
        begin = time.perf_counter()
        for number in rng.integers(0, num_records, 10_000):
            index[int(number)]
        read = 10_000 / (time.perf_counter() - begin)
    print(
        f"{num_records:,} records: written at {num_records / seconds:,.0f}/s, "
        f"{size / num_records:.0f} bytes a record, peak memory +{grown:.1f} MiB "
        f"(of {before + grown:.0f}); opened in {opened * 1000:.1f} ms; read at {read:,.0f}/s"
    )


if __name__ == "__main__":
    main()
