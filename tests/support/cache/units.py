"""Small units in a cache, made as prep makes them."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from qinstruct_trainer.contract.events import Event, Stage
from qinstruct_trainer.prep.unit_cache import UnitCache
from qinstruct_trainer.prep.unit_manifest import Unit

LABELS = Unit("fetch", "labels", ("1",))
IMAGES = Unit("extract", "images", ("1",))


def no_events(_: Event) -> None:
    """The progress is ignored."""


def unit(item: str, stage: Stage = "fetch") -> Unit:
    return Unit(stage, item, ("1",))


def of_size(num_bytes: int) -> Callable[[Path], None]:
    """What builds a unit with one file of a size."""

    def build(folder: Path) -> None:
        (folder / "file").write_bytes(bytes(num_bytes))

    return build


def make(
    cache: Path, *units: Unit, run: str = "x", output: Path | None = None, num_bytes: int = 1000
) -> list[Path]:
    """Their folders, made or found by a preparation of a run."""
    made = UnitCache(cache, run, no_events, output=output)
    return [made.get(one, of_size(num_bytes)) for one in units]


def make_merged(cache: Path, records: Iterable[object], item: str = "records") -> Path:
    """A merge unit of records."""

    def build(folder: Path) -> None:
        lines = [json.dumps(record) + "\n" for record in records]
        (folder / "records.jsonl").write_text("".join(lines), "utf-8")

    return UnitCache(cache, "x", no_events).get(unit(item, "merge"), build)


def run_folder(folder: Path, *, complete: bool = False) -> Path:
    """The folder of a local run."""
    folder.mkdir(parents=True)
    if complete:
        (folder / "model").mkdir()
    return folder
