"""prep.json of a run whose cache and output are below one folder."""

from collections.abc import Sequence
from pathlib import Path

from qinstruct_trainer.contract.config import ModelSource, PrepConfig, Source


def write_prep_json(
    folder: Path, run: str, sources: Sequence[Source], /, **changes: object
) -> Path:
    """Write `<run>.json` for these sources and the tiny model; the changes are of its fields."""
    config = PrepConfig(
        run=run,
        cache=folder / "cache",
        output=folder / run,
        sources=tuple(sources),
        model=ModelSource(kind="tiny"),
        max_length=512,
        seed=0,
    ).model_copy(update=changes)
    path = folder / f"{run}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(config.to_json())
    return path
