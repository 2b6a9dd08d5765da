"""Merge and index label files of the published size: seconds, CPU seconds, memory of all processes.

    python bench/full_index.py [OLD_CHECKOUT] [--share 0.1] [--old-share 0.1]

Two generated JSON arrays (200,534 and 665,298 records, or a share of them) are merged as the gate
and the merge stage do, and indexed with the true Llama vocabulary, which is fetched as the oracle
tests do. The index is built by one process and by one a CPU, and compared; a share of the records
is also indexed by the code of another checkout, in the same run. Memory is the largest sum of the
resident sets of all processes of a step: pages that they share are counted once for each.
"""

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
NUM_Q_INSTRUCT, NUM_MIX = 200_534, 665_298
FOLDERS = ("coco/train2017", "gqa/images", "ocr_vqa/images", "textvqa/train_images", "vg/VG_100K")
CONFIG = {
    "text_config": {"model_type": "llama", "vocab_size": 32_064},
    "vision_config": {"model_type": "clip_vision_model", "image_size": 336, "patch_size": 14},
    "image_token_index": 32_000,
}
MERGE = """
from qinstruct_trainer.data.records import parse_record
from qinstruct_trainer.prep.json_array import read_elements
with open(lines, "w", encoding="utf-8", newline="") as out:
    for path in map(Path, paths):
        for index, (text, raw) in enumerate(read_elements(path, path.stem)):
            parse_record(raw, index)
            out.write(text + "\\n")
"""
INDEX = """
from qinstruct_trainer.prep.index import write_index
from qinstruct_trainer.prep.progress import Progress
progress = Progress(lambda event: None, "index", "records", "records")
write_index(Path(lines), Path(model), [Path(root) for root in roots], Path(folder), progress,
            max_length=2048)
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("old", nargs="?", type=Path, help="another checkout of this repository")
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--old-share", type=float, default=0.1)
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        lines, some = folder / "records.jsonl", folder / "some.jsonl"
        numbers = int(NUM_Q_INSTRUCT * parsed.share), int(NUM_MIX * parsed.share)
        words = write_model(folder / "model")
        paths = write_labels(folder, words, *numbers)
        print(f"{sum(numbers):,} records, {sum(map(os.path.getsize, paths)) / 1e6:,.0f} MB")
        merge = {"paths": [*map(str, paths)], "lines": str(lines)}
        show("merged", sum(numbers), run(MERGE, merge, ROOT))
        digests = set()
        for cpus in sorted({1, len(os.sched_getaffinity(0))}):
            found = index(lines, folder / f"by-{cpus}", folder, ROOT, cpus)
            show(f"indexed on {cpus} CPUs", sum(numbers), found)
            digests.add(digest(folder / f"by-{cpus}"))
        print("same bytes" if len(digests) == 1 else "OTHER BYTES")
        print(f"opened in {opened(folder / 'by-1') * 1000:.1f} ms")
        if parsed.old is not None:
            compare(lines, some, int(sum(numbers) * parsed.old_share), folder, parsed.old)


def compare(lines: Path, some: Path, number: int, folder: Path, old: Path) -> None:
    """Both codes over records from all of the file."""
    step = max(1, sum(1 for _ in lines.open("rb")) // number)
    with lines.open("rb") as file, some.open("wb") as out:
        out.writelines(islice(file, 0, None, step))
    count = sum(1 for _ in some.open("rb"))
    before = index(some, folder / "old", folder, old, None)
    show("the other code, all CPUs", count, before)
    for cpus in sorted({1, len(os.sched_getaffinity(0))}):
        after = index(some, folder / f"new-{cpus}", folder, ROOT, cpus)
        show(f"this code, {cpus} CPUs", count, after)
        same = digest(folder / "old") == digest(folder / f"new-{cpus}")
        times, less = before[0] / after[0], before[1] / after[1]
        print(f"  {times:.1f} times as fast, a {less:.1f}th of the CPU, same bytes: {same}")


def index(
    lines: Path, target: Path, folder: Path, checkout: Path, cpus: int | None
) -> tuple[float, float, float]:
    roots = [str(folder / "q"), *(str(folder / f"mix-{number}") for number in range(len(FOLDERS)))]
    names = {"lines": str(lines), "model": str(folder / "model"), "roots": roots}
    return run(INDEX, names | {"folder": str(target)}, checkout, cpus)


def run(
    code: str, names: dict[str, Any], checkout: Path, cpus: int | None = None
) -> tuple[float, float, float]:
    """Seconds, CPU seconds and MB of a program and its processes."""
    head = f"import os\nfrom pathlib import Path\nglobals().update({names!r})\n"
    if cpus is not None:
        head += f"os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:{cpus}])\n"
    environment = os.environ | {"PYTHONPATH": str(checkout / "trainer/src")}
    before, begin = os.times(), time.perf_counter()
    program = subprocess.Popen(
        [sys.executable, "-c", head + code], env=environment, start_new_session=True
    )
    peak = 0.0
    spent: dict[int, float] = {}
    while program.poll() is None:
        peak = max(peak, usage(program.pid, spent))
        time.sleep(0.1)
    seconds, after = time.perf_counter() - begin, os.times()
    if program.returncode:
        sys.exit(f"a step failed: {program.returncode}")
    waited = after.children_user + after.children_system
    own = waited - before.children_user - before.children_system
    spent.pop(program.pid, None)
    return seconds, own + sum(spent.values()), peak


def usage(session: int, spent: dict[int, float]) -> float:
    """MB of all processes of a session; notes the CPU seconds of each."""
    total = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text("utf-8").rpartition(")")[2].split()
            if int(fields[3]) != session:
                continue
        except (OSError, IndexError):
            continue
        spent[int(stat.parent.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf(
            "SC_CLK_TCK"
        )
        total += int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    return total


def show(what: str, count: int, found: tuple[float, float, float]) -> None:
    seconds, cpu, peak = found
    print(
        f"{what}: {seconds:,.1f} s, {cpu:,.1f} CPU s, {count / seconds:,.0f} records/s, "
        f"{count / cpu:,.0f} per CPU s, at most {peak:,.0f} MB",
        flush=True,
    )


def digest(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def opened(folder: Path) -> float:
    from qinstruct_trainer.data.index.reader import Index

    begin = time.perf_counter()
    Index.open(folder)
    return time.perf_counter() - begin


def write_model(folder: Path) -> list[str]:
    """What the index needs of a checkpoint; the words of its vocabulary."""
    sys.path.insert(0, str(ROOT / "tests"))
    from support.oracle_llava import load_llama_tokenizer

    tokenizer = load_llama_tokenizer(legacy=False, layout="hub")
    tokenizer.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    words = (token[1:] for token in tokenizer.get_vocab() if token.startswith("\u2581"))
    return sorted(word for word in words if word.isalpha() and len(word) > 1)


def write_labels(folder: Path, words: list[str], num_q: int, num_mix: int) -> list[Path]:
    """The two files, and an empty file for each image that they name."""
    source = Texts(words)
    paths = [folder / "cleaned_labels.json", folder / "llava_v1_5_mix665k.json"]
    for path, records in zip(paths, (source.q(num_q), source.mix(num_mix)), strict=True):
        with path.open("w") as file:
            for number, record in enumerate(records):
                file.write(("[" if number == 0 else ", ") + json.dumps(record))
            file.write("]")
    for root, image in source.images:
        target = folder / root / image
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    return paths


class Texts:
    """Records whose words are as frequent as in a language: some often, many once."""

    def __init__(self, words: list[str]):
        self._chance = random.Random(0)
        rare = ["".join(self._chance.choices(words, k=3)) for _ in range(100_000)]
        self._words = self._chance.sample(words, len(words)) + rare
        self._weights = [*accumulate(1 / (rank + 3) for rank in range(len(self._words)))]
        self.images: dict[tuple[str, str], None] = {}

    def q(self, count: int) -> Iterator[dict[str, Any]]:
        questions = [self.said(8) for _ in range(2_000)]
        for number in range(count):
            image = f"spaq_koniq/{self._chance.randrange(18_973):05d}.jpg"
            self.images["q", image] = None
            said = (f"{self._chance.choice(questions)}?\n<image>", self.said(45))
            yield self.record(f"{number}", image, [said])

    def mix(self, count: int) -> Iterator[dict[str, Any]]:
        for number in range(count):
            name = f"{number:012d}"
            if self._chance.random() < 0.06:  # text alone
                rounds = [
                    (self.said(40), self.said(150)) for _ in range(self._chance.randint(1, 4))
                ]
                yield self.record(name, None, rounds)
                continue
            root = self._chance.randrange(len(FOLDERS))
            image = f"{FOLDERS[root]}/{self._chance.randrange(60_000):012d}.jpg"
            self.images[f"mix-{root}", image] = None
            rounds = [self.asked() for _ in range(self._chance.choice((1, 1, 2, 3, 5, 8)))]
            yield self.record(
                name, image, [(f"<image>\n{rounds[0][0]}", rounds[0][1]), *rounds[1:]]
            )

    def asked(self) -> tuple[str, str]:
        kind = self._chance.random()
        if kind < 0.2:
            box = ", ".join(f"{self._chance.random():.2f}" for _ in range(4))
            return f"Please provide a short description for this region: [{box}].", self.said(8)
        if kind < 0.4:
            return self.said(12) + "?", self.said(60)
        question = f"{self.said(9)}?\nAnswer the question using a single word or phrase."
        return question, self.said(self._chance.randint(1, 2))

    def said(self, count: int) -> str:
        words = self._chance.choices(self._words, cum_weights=self._weights, k=count)
        return " ".join(words).capitalize() + ("." if count > 2 else "")

    @staticmethod
    def record(name: str, image: str | None, rounds: list[tuple[str, str]]) -> dict[str, Any]:
        turns = [
            {"from": speaker, "value": text}
            for said in rounds
            for speaker, text in zip(("human", "gpt"), said, strict=True)
        ]
        return {"id": name} | ({"image": image} if image else {}) | {"conversations": turns}


if __name__ == "__main__":
    main()
