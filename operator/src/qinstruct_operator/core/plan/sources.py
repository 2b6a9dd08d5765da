"""The sources of a run: the published ones with the spec's overrides applied. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from qinstruct_operator.api.spec import SourceOverride
from qinstruct_operator.catalog.sources import (
    DOWNLOAD_FACTOR,
    Q_INSTRUCT_IMAGES,
    Q_INSTRUCT_LABELS,
    SOURCES,
    sources_of,
)
from qinstruct_trainer.contract.config import Size, Source, Strategy
from qinstruct_trainer.contract.hub_files import at_revision

Overrides = Mapping[str, SourceOverride]

Q_INSTRUCT: Final = (Q_INSTRUCT_LABELS, Q_INSTRUCT_IMAGES)
"""The pair that replaces size Tiny's built-in data."""


def source_names(size: Size, strategy: Strategy, overrides: Overrides) -> tuple[str, ...]:
    """The sources that a run uses; empty for the built-in data set."""
    if size == "Tiny":
        return Q_INSTRUCT if any(name in overrides for name in Q_INSTRUCT) else ()
    return sources_of(strategy)


def builtin_source(strategy: Strategy) -> Source:
    """The data set that needs no download; with mix it has text-only records too."""
    return Source(name="builtin", kind="builtin", url=f"builtin:{strategy}")


def planned_sources(names: Sequence[str], overrides: Overrides) -> tuple[Source, ...]:
    """The sources in the order of the merge, with overrides applied."""
    return tuple(_planned(name, overrides.get(name, SourceOverride())) for name in names)


def num_records(sources: Sequence[Source]) -> int | None:
    """Records of all label files; None when the number of one is not known."""
    counts = [source.num_records for source in sources if source.kind == "labels"]
    return sum(count for count in counts if count) if counts and all(counts) else None


def num_images(names: Sequence[str], overrides: Overrides) -> int | None:
    """Images that the records name, at most; None where other files than the published ones are."""
    if any(name in overrides and overrides[name].url for name in names):
        return None
    return sum(SOURCES[name].num_images or 0 for name in names) or None


def max_bytes(names: Sequence[str], overrides: Overrides) -> dict[str, int]:
    """Most bytes of each download: the user's, else by the published size, also from a mirror."""
    most = {
        name: overrides.get(name, SourceOverride()).max_bytes
        or DOWNLOAD_FACTOR * (SOURCES[name].num_bytes or 0)
        for name in names
    }
    return {name: num_bytes for name, num_bytes in most.items() if num_bytes}


def _planned(name: str, override: SourceOverride) -> Source:
    row = SOURCES[name]
    if override.url:  # another file: the published size and count need not hold
        row = replace(row, url=override.url, num_bytes=None, num_records=None)
    return Source(
        name=name,
        kind=row.kind,
        url=_at_revision(row.url, override.revision),
        mirrors=tuple(_at_revision(url, override.revision) for url in override.mirrors),
        into=row.into,
        sha256=override.sha256,
        revision=override.revision,
        num_bytes=row.num_bytes,
        num_records=row.num_records,
    )


def _at_revision(url: str, revision: str | None) -> str:
    """An address at a revision, where it is one of the hub."""
    head, resolve, tail = url.partition("/resolve/")
    if revision is None or not resolve:
        return at_revision(url, revision) if revision else url
    return f"{head}/resolve/{revision}/{tail.partition('/')[2]}"
