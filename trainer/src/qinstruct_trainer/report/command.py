"""`python -m qinstruct_trainer data FILE`: writes the page and prints a `DataSummary`."""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from qinstruct_trainer.contract.errors import ConfigError, DataError, StorageError
from qinstruct_trainer.contract.summary import DataSummary
from qinstruct_trainer.data.images import Picture, look_at
from qinstruct_trainer.data.records import Record
from qinstruct_trainer.durable_files import read_bounded, write_durably
from qinstruct_trainer.report.image_folder import check_folder, first_images, none_of_them
from qinstruct_trainer.report.page import GENERATOR, Histogram, page_of
from qinstruct_trainer.report.read import Dataset, open_dataset
from qinstruct_trainer.report.summary import (
    Summary,
    bins_of,
    summarize,
    tables_of,
    token_lengths,
)
from qinstruct_trainer.storage_errors import file_sentence, storage_errors

_MAX_REASON: Final = 200
_START: Final = 500  # bytes of a page, in which it says whose it is


def run_data(arguments: Sequence[str]) -> None:
    """Report on one file.

    Raises:
        RunError: a sentence for the user.
    """
    parsed = _parser().parse_args(arguments)
    _check_output(parsed.output, parsed.file)
    with storage_errors(str(parsed.file), file_sentence):
        dataset = open_dataset(parsed.file, parsed.images)
        if parsed.images is not None:
            check_folder(parsed.images, first_images(dataset))
        found = summarize(
            dataset, seed=parsed.seed, samples=parsed.samples, num_images=parsed.max_images
        )
        pictures = _look(dataset, found, parsed.images)
        tables = tuple(tables_of(found, dataset, pictures))
        page = page_of(dataset.name, tables, _histograms(dataset, found), found.sample, pictures)
        write_durably(parsed.output, page)
    summary = DataSummary(page=str(parsed.output), tables=tables)
    sys.stdout.write(summary.model_dump_json() + "\n")
    sys.stdout.flush()


def _check_output(path: Path, file: Path) -> None:
    """Nothing but a page of an earlier report is written over."""
    if path.resolve() == file.resolve():
        raise ConfigError(f"--output {path} is the file to report on; name another file")
    if path.is_dir():
        raise ConfigError(f"--output {path} is a folder; name a file")
    if not path.parent.is_dir():
        raise ConfigError(
            f"--output {path} lies in a folder that is not there; make it or name another file"
        )
    if os.path.lexists(path) and not _is_page(path):
        raise ConfigError(
            f"--output {path} is there already, and no page of `qinstruct data`; name another file"
        )


def _is_page(path: Path) -> bool:
    try:
        return GENERATOR.encode() in read_bounded(path, _START)
    except OSError:
        return False


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m qinstruct_trainer data")
    parser.add_argument("file", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=24)
    parser.add_argument("--max-images", type=int, default=1000)
    return parser


def _histograms(dataset: Dataset, found: Summary) -> Iterable[Histogram]:
    for title, lengths in (
        ("Words of a record", found.words),
        ("Tokens of a record, image included", token_lengths(dataset)),
    ):
        if lengths:
            yield Histogram(title, bins_of(lengths))


def _look(dataset: Dataset, found: Summary, folder: Path | None) -> dict[str, Picture | str]:
    """What the drawn images are, those of the sheet with their thumbnails.

    Raises:
        ConfigError: none is below the folder that was given.
    """
    if dataset.find is None:
        return {}
    rows = (row.record for row in found.sample)
    shown = {record.image for record in rows if isinstance(record, Record) and record.image}
    paths = {i: dataset.find(i) for i in dict.fromkeys([*sorted(shown), *found.images])}
    if folder is not None and paths and not any(paths.values()):
        raise none_of_them(folder, list(paths))
    return {image: _picture(path, image in shown) for image, path in paths.items()}


def _picture(path: Path | None, is_shown: bool) -> Picture | str:
    if path is None:
        return "missing"
    try:
        return look_at(path, with_thumbnail=is_shown)
    except (DataError, StorageError) as error:
        reason = str(error).replace(str(path), "").removeprefix("image ").strip()
        return "missing" if "is missing" in reason else f"damaged: {reason:.{_MAX_REASON}}"
