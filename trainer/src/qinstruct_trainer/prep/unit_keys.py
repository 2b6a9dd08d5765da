"""What decides the content of a unit, so that it stands in its key."""

import json
from pathlib import Path

from qinstruct_trainer.contract.config import ModelSource, Source
from qinstruct_trainer.contract.events import Stage
from qinstruct_trainer.contract.urls import url_identity
from qinstruct_trainer.prep.code_versions import CODE_VERSIONS, Maker
from qinstruct_trainer.prep.sources.http import local_path
from qinstruct_trainer.prep.unit_manifest import Unit
from qinstruct_trainer.prep.versions import FIRST


def unit_of(stage: Stage, item: str, *parts: str, maker: Maker | None = None) -> Unit:
    """A unit of a stage and an item, with all else that decides it.

    By default the stage has one maker, of its name.
    """
    return Unit(stage, item, (*parts, code_of(maker or stage)))


def code_of(maker: Maker) -> str:
    """The version of the maker's code."""
    return f"code {CODE_VERSIONS[maker].number}"


def fetched_unit(source: Source, version: str = FIRST) -> Unit:
    """That of a version of the source's file."""
    of_version = () if version == FIRST else (f"version {version}",)
    return unit_of("fetch", source.name, *_content(source), *of_version)


def extracted_unit(source: Source, archive: str) -> Unit:
    """That of the files of a source's archive, which has this key."""
    return unit_of("extract", source.name, source.into, archive)


def _content(source: Source) -> tuple[str, ...]:
    """What decides the bytes of a source's file.

    One of a known digest is that file wherever it comes from: another url or mirror makes no new
    unit. Without a digest all addresses count, since whichever answers decides the content.
    """
    if source.sha256 is not None:
        return ("sha256", source.sha256)
    mirrors = [part for url in source.mirrors for part in (url_identity(url), local_stamp(url))]
    address = (url_identity(source.url), source.revision or "", "", local_stamp(source.url))
    return (*address, *mirrors)


def model_identity(source: ModelSource) -> str:
    """The source as JSON, a digest in place of secrets: it stands in the unit's manifest."""
    base = url_identity(source.base)
    return source.model_copy(update={"base": base}).model_dump_json()


def local_stamp(place: str | None) -> str:
    """Names, sizes and times of a local file or folder: its path stays when they change."""
    path = local_path(place or "")
    if place and path is None and place.startswith(("/", "./", "../")):
        path = Path(place)
    try:
        if path is None or not path.exists():
            return ""
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        statuses = [(file.name, file.stat()) for file in files]
    except OSError:  # who opens it says so
        return ""
    return json.dumps([(name, status.st_size, status.st_mtime_ns) for name, status in statuses])
