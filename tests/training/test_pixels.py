"""A run with a pixel store takes the same steps as one that decodes its images."""

from pathlib import Path

import pytest

from qinstruct_trainer.contract.config import Prepared, RunConfig
from qinstruct_trainer.contract.errors import EXIT_OK
from qinstruct_trainer.data.pixel_store import PIXELS
from qinstruct_trainer.prep.pixels import PixelUnits
from qinstruct_trainer.prep.progress import Progress
from qinstruct_trainer.prep.unit_cache import UnitCache
from support.model.tiny import IMAGE_SIZE
from support.training.processes import losses, train, weights
from support.training.run_configs import run_config

pytestmark = pytest.mark.slow


def with_store(prepared: Path, folder: Path) -> Path:
    """A prepared.json whose images are in a store."""
    images = prepared.parent / "images"
    cache = UnitCache(folder / "cache", "run", lambda _: None)
    cache.root.mkdir()
    units = PixelUnits(cache, (images,), ("key",), IMAGE_SIZE, "1")
    names = [path.name for path in images.iterdir()]
    table = units.table(names, Progress(lambda _: None, "pixels", "table", "files"))
    path = folder / "prepared.json"
    given = Prepared.read(prepared).model_copy(update={"pixels": table})
    path.write_text(given.to_json())
    return path


def test_losses_and_weights_are_those_without_a_store(
    uninterrupted: RunConfig, prepared: Path, tmp_path: Path
) -> None:
    config = run_config(with_store(prepared, tmp_path), tmp_path / "run")
    ended = train(config)
    assert (ended.code, ended.stderr) == (EXIT_OK, "")
    assert losses(config) == losses(uninterrupted)
    assert weights(config) == weights(uninterrupted)


def test_a_damaged_store_is_noticed_and_changes_nothing(
    uninterrupted: RunConfig, prepared: Path, tmp_path: Path
) -> None:
    config = run_config(with_store(prepared, tmp_path), tmp_path / "run")
    (pixels,) = tmp_path.rglob(PIXELS)
    content = bytearray(pixels.read_bytes())
    content[10] ^= 1
    pixels.write_bytes(content)
    ended = train(config)
    assert ended.code == EXIT_OK
    assert "damaged; it is decoded" in ended.stderr
    assert weights(config) == weights(uninterrupted)
