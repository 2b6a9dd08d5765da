"""Counts, and a sample that the seed decides."""

import random
from collections import Counter
from pathlib import Path

from qinstruct_trainer.report.read import open_dataset
from qinstruct_trainer.report.summary import Reservoir, bins_of, summarize, tables_of
from support.report import BAD, RECORDS, write_labels, write_prepared


def test_what_is_counted(tmp_path: Path) -> None:
    file = write_labels(tmp_path / "x.json", [*RECORDS, BAD, BAD])
    dataset = open_dataset(file, None)
    found = summarize(dataset, seed=0, samples=2, num_images=100)
    assert (found.sources["x.json"], found.with_image["x.json"]) == (6, 5)
    assert found.kinds["yes-no"] == found.kinds["how, with options"] == 1
    assert found.kinds["other"] == 2
    assert found.types == Counter({"type: direct": 1})
    ((_, reason), number) = found.faults.most_common(1)[0]
    assert (reason.startswith("its conversations are not a list"), number) == (True, 2)
    assert len(found.sample) == 2
    assert len(found.images) == 5


def test_a_seed_draws_the_same_records(tmp_path: Path) -> None:
    file = write_labels(tmp_path / "x.json", RECORDS * 20)
    drawn = [
        [
            row.number
            for row in summarize(
                open_dataset(file, None), seed=seed, samples=5, num_images=0
            ).sample
        ]
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_every_item_of_a_stream_is_drawn_as_often() -> None:
    counts: Counter[int] = Counter()
    for seed in range(2000):
        reservoir = Reservoir[int](3, random.Random(seed))
        for item in range(10):
            reservoir.offer(item)
        counts.update(reservoir.items)
    assert len(counts) == 10
    assert all(abs(count - 600) < 100 for count in counts.values())  # 5 standard deviations


def test_what_the_gate_left_out_and_the_tokens_of_the_index(tmp_path: Path) -> None:
    dataset = open_dataset(write_prepared(tmp_path), None)
    found = summarize(dataset, seed=0, samples=9, num_images=9)
    tables = {table.title: table.rows for table in tables_of(found, dataset, {})}
    assert tables["Records"] == (("q-instruct-labels", "3", "2", "7"),)
    assert sorted(row[2] for row in tables["Left out"]) == ["1", "1"]
    assert any(
        "missing.jpg is in none of the image archives" in row[1] for row in tables["Left out"]
    )
    assert ("tokens of a record, image included", "3", "4", "5", "12") in tables["Lengths"]


def test_bins_hold_every_length() -> None:
    lengths = {0: 1, 4: 1, 5: 2, 2559: 3, 10**6: 4}
    bins = dict(bins_of(lengths))
    assert (bins["0-4"], bins["5-9"], bins["1280-2559"], bins["2560+"]) == (2, 2, 3, 4)
    assert sum(bins.values()) == 11
