"""Prepare the two files of a small data set that nothing pins, and change them at their server."""

import json
import time
from pathlib import Path

from qinstruct_trainer.contract.config import TRUSTED_DAYS, Source
from qinstruct_trainer.prep.stages import Labels, Stages
from qinstruct_trainer.prep.unit_cache import UnitCache
from qinstruct_trainer.prep.versions import VERSIONS
from support.prep.file_server import FaultyServer
from support.prep.miniature import ARCHIVE, LABELS, Miniature, write_miniature

DAY = 86_400
FIRST_BYTE = "bytes=0-0"
Units = tuple[Path, Path]


def sources_of(server: FaultyServer) -> tuple[Source, Source]:
    """Labels and images, pinned by nothing."""
    return (
        Source(name="q-instruct-labels", kind="labels", url=f"{server.url}/{LABELS}"),
        Source(name="q-instruct-images", kind="images", url=f"{server.url}/{ARCHIVE}"),
    )


def prepare(server: FaultyServer, folder: Path, run: str = "run", **changes: object) -> Units:
    """The units of the labels, to which the changes are, and of the images."""
    cache = UnitCache(folder / "cache", run, lambda _: None, output=folder / run)
    stages = Stages(cache, lambda _: None)
    labels, images = sources_of(server)
    fetched = stages.fetch(labels.model_copy(update=changes))
    return fetched.folder, stages.images(images, Labels((), ())).folder


def known(folder: Path) -> dict[Path, dict[str, object]]:
    """What is noted of the two files."""
    paths = sorted((folder / "cache" / VERSIONS).iterdir())
    return {path: json.loads(path.read_bytes()) for path in paths}


def let_pass(folder: Path, days: float = TRUSTED_DAYS + 1) -> None:
    """Let the days pass in which a cached file is trusted."""
    for path, said in known(folder).items():
        path.write_text(json.dumps(said | {"asked": time.time() - days * DAY}))


def change(miniature: Miniature, server: FaultyServer, seed: int = 1) -> None:
    """Other records and images of the same names."""
    write_miniature(miniature.labels.parent, seed=seed)
    server.etag = f'"seed {seed}"'
