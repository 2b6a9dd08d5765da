"""The table of sources, and what a document makes of it.

Addresses: Q-Instruct's training instructions and LLaVA's data page, with their defects mended
(`/resolve/main/`, never `/blob/main/`, which is a web page). Sizes are the published ones, as
rounded there; record counts were measured on the published files.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import SplitResult, urlsplit

from qinstruct_operator.api.spec import SourceOverride
from qinstruct_operator.catalog.sources import (
    Q_INSTRUCT_IMAGES,
    Q_INSTRUCT_LABELS,
    SOURCES,
    sources_of,
)
from qinstruct_operator.errors import Violation
from qinstruct_trainer.contract.config import Size, Source, Strategy

_LATER_SCHEMES = ("s3", "gs", "hf", "az")

Overrides = Mapping[str, SourceOverride]


Q_INSTRUCT: Final = (Q_INSTRUCT_LABELS, Q_INSTRUCT_IMAGES)


def source_names(size: Size, strategy: Strategy, overrides: Overrides) -> tuple[str, ...]:
    """The sources that a run uses; none: the builtin data set."""
    if size == "Tiny":
        return Q_INSTRUCT if any(name in overrides for name in Q_INSTRUCT) else ()
    return sources_of(strategy)


def builtin_source(strategy: str) -> Source:
    """The data set that needs no download; with mix it has text-only records too."""
    return Source(name="builtin", kind="builtin", url=f"builtin:{strategy}")


def planned_sources(names: Sequence[str], overrides: Overrides) -> tuple[Source, ...]:
    """The sources in the order of the merge, with overrides applied."""
    return tuple(_planned(name, overrides.get(name, SourceOverride())) for name in names)


def source_violations(
    names: Sequence[str], overrides: Overrides, size: str, strategy: str
) -> Iterator[Violation]:
    """Faults of `spec.data.sources`."""
    for name, override in overrides.items():
        field = f"spec.data.sources.{name}"
        if name not in names:
            yield Violation(
                field, None, f"is not used by size {size}, strategy {strategy}", "remove it"
            )
            continue
        yield from _url_violations(f"{field}.url", override.url)
        url = override.url or SOURCES[name].url
        if override.revision and "/resolve/" not in url:
            yield Violation(
                f"{field}.revision",
                override.revision,
                f"means nothing for {url}, which is no hub address with /resolve/",
                "remove it, or use sha256 to pin the file",
            )
    if size == "Tiny" and len([name for name in Q_INSTRUCT if name in overrides]) == 1:
        (missing,) = [name for name in Q_INSTRUCT if name not in overrides]
        yield Violation(
            f"spec.data.sources.{missing}",
            None,
            "is missing: size Tiny replaces its built-in data by labels and images together",
            f"add {missing}, or remove the other one",
        )


def _url_violations(field: str, url: str | None) -> Iterator[Violation]:
    if url is None:
        return
    try:
        parts = urlsplit(url)
        _ = parts.port  # the port is parsed on access
    except ValueError:
        yield Violation(field, url, "is not an address", "write http://, https:// or file:///path")
        return
    if parts.scheme in _LATER_SCHEMES:
        reason = f"addresses with {parts.scheme}:// are not supported yet in this version"
        yield Violation(field, url, reason, "use http://, https:// or file://")
    elif parts.scheme not in ("http", "https", "file"):
        yield Violation(field, url, "is not an address", "write http://, https:// or file:///path")
    else:
        yield from _address_violations(field, url, parts)


def _address_violations(field: str, url: str, parts: SplitResult) -> Iterator[Violation]:
    """Faults of an address whose scheme is right."""
    if (parts.scheme == "file") == bool(parts.netloc) or not parts.path.strip("/"):
        fix = "write https://host/path, or file:///path of a file"
        yield Violation(field, url, "names no file", fix)
    elif any(character.isspace() or ord(character) < 32 for character in url):
        yield Violation(field, url, "contains a blank", "write blanks as %20")
    elif parts.username or parts.password:
        shown = parts._replace(netloc=f"...@{parts.hostname}").geturl()
        reason = "contains a user name or password, which everyone who sees the run could read"
        yield Violation(field, shown, reason, "use an address without them")
    elif "/blob/" in parts.path and parts.hostname in ("huggingface.co", "github.com"):
        fix = f"use {url.replace('/blob/', '/resolve/')}"
        yield Violation(field, url, "is a web page about the file", fix)


def _planned(name: str, override: SourceOverride) -> Source:
    row = SOURCES[name]
    if override.url:  # another file: the published size and count need not hold
        row = replace(row, url=override.url, num_bytes=None, num_records=None)
    url = row.url
    if override.revision:
        head, _, tail = url.partition("/resolve/")
        url = f"{head}/resolve/{override.revision}/{tail.partition('/')[2]}"
    return Source(
        name=name,
        kind=row.kind,
        url=url,
        into=row.into,
        sha256=override.sha256,
        revision=override.revision,
        num_bytes=row.num_bytes,
        num_records=row.num_records,
    )
