"""The table of limits in docs/operations.md has the numbers of the code, each of them."""

import re
from typing import Final

import pytest

from qinstruct_operator.catalog.sources import DOWNLOAD_FACTOR
from qinstruct_trainer import json_files
from qinstruct_trainer.contract.errors import EXIT_DATA
from qinstruct_trainer.data import images, pixel_store, records, tokenizer_files
from qinstruct_trainer.model import weight_files
from qinstruct_trainer.prep import (
    extract,
    gate,
    json_array,
    unit_cache,
    unit_manifest,
    unpacked_stream,
)
from qinstruct_trainer.prep.sources import hub, image_downloads
from qinstruct_trainer.prep.sources.limits import Limits
from qinstruct_trainer.train.checkpoint import verify
from support.readme import ROOT

PAGE: Final = (ROOT / "docs/operations.md").read_text("utf-8")
SECTION: Final = PAGE.split("## What data and models may be\n")[1].split("\n## ")[0]
ROWS: Final = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", SECTION, re.MULTILINE)[1:])
# Digits in a name are none: `QINSTRUCT_...`, bzip2.
NUMBER: Final = re.compile(r"(?<![\w`])\d[\d,]*(?: [KMG]iB| million)?(?!\w)")
LIMITS: Final = Limits()


def size(num_bytes: int) -> str:
    """In the largest unit that leaves a whole number."""
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if num_bytes % 2**power == 0:
            return f"{num_bytes >> power} {unit}"
    return f"{num_bytes:,}"


# In the order of the row.
NUMBERS: Final[dict[str, list[str]]] = {
    "download": [
        f"{LIMITS.min_bytes_per_second:,g}",
        f"{LIMITS.window_seconds / 60:g}",
        f"{LIMITS.total_seconds / 3600:g}",
    ],
    "repository of the hub": [f"{hub.MAX_FILES:,}", size(hub.MAX_BYTES)],
    "image of a list of addresses": [
        size(image_downloads._MAX_IMAGE_BYTES),
        f"{image_downloads._PARALLEL}",
        f"{image_downloads._PARALLEL_PER_HOST}",
        f"{image_downloads._MAX_UNREACHED}",
    ],
    "archive": [
        size(unpacked_stream._MAX_XZ_MEMORY),
        size(extract._FREE_GROWTH_BYTES),
        f"{extract._MAX_GROWTH}",
    ],
    "files and folders in it": [
        f"{extract._FREE_ENTRIES:,}",
        f"{extract._BYTES_PER_ENTRY}",
        f"{extract._MAX_ENTRIES:,}",
        f"{extract._MAX_PATH_BYTES:,}",
        f"{extract._MAX_DEPTH}",
    ],
    "headers in it": [size(extract._MAX_HEADER_BYTES), f"{extract._MAX_GLOBAL_RECORDS}"],
    "image": [f"{images.MAX_PIXELS:,}"],
    "record of a label file": [
        f"{json_array._MAX_ELEMENT // 10**6}",
        f"{2 * json_array._MAX_ELEMENT // 10**6} million",
        f"{records._MAX_PATH:,}",
        f"{records._MAX_NAME}",
    ],
    "the gate's `report.json`": [f"{gate._MAX_LISTED:,}"],
    "model folder": [
        size(json_files.MAX_CONFIG_BYTES),
        size(weight_files._MAX_INDEX_BYTES),
        f"{weight_files.MAX_NAME}",
    ],
    "tokenizer": [
        size(tokenizer_files._MAX_BYTES),
        size(tokenizer_files._MAX_MODEL_BYTES),
        f"{tokenizer_files._MAX_PIECE}",
        f"{tokenizer_files._MAX_ADDED:,}",
    ],
    "torch file": [],
    "checkpoint": [size(verify._MAX_MANIFEST_BYTES)],
    "unit of the cache": [size(unit_manifest._MAX_MANIFEST_BYTES)],
    "stored pixels": [
        f"{pixel_store._MAX_TABLE_BYTES // pixel_store.ROW.itemsize:,}",
        size(pixel_store._MAX_META_BYTES),
        size(pixel_store._MAX_IMAGES_BYTES),
    ],
}


def test_each_row_has_its_numbers_here() -> None:
    assert list(ROWS) == list(NUMBERS)


@pytest.mark.parametrize("row", NUMBERS)
def test_the_numbers_are_those_of_the_code(row: str) -> None:
    assert NUMBER.findall(ROWS[row]) == NUMBERS[row]


def test_what_is_a_word_there_is_a_number_of_the_code() -> None:
    twice = [row for row, limit in ROWS.items() if "twice" in limit]
    assert (twice, DOWNLOAD_FACTOR) == (["download", "repository of the hub"], 2)
    formats = {word.upper() for word in re.findall(r"\b[A-Z][A-Za-z]{2,3}\b", ROWS["image"])}
    assert set(images.FORMATS) == formats
    assert f"(exit code {EXIT_DATA})" in SECTION
    assert f"({size(unit_cache._SAMPLE_BYTES)}; a larger file never)" in SECTION
