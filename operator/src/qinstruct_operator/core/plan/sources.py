"""The table of sources, and what a document makes of it.

Addresses: Q-Instruct's training instructions and LLaVA's data page, with their defects mended
(`/resolve/main/`, never `/blob/main/`, which is a web page). Sizes are the published ones, as
rounded there; record counts were measured on the published files.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Literal
from urllib.parse import SplitResult, urlsplit

from qinstruct_operator.api.spec import SourceName, SourceOverride
from qinstruct_operator.errors import Violation
from qinstruct_trainer.contract.config import Source

_GB = 1_000_000_000
_LATER_SCHEMES = ("s3", "gs", "hf", "az")

Overrides = Mapping[SourceName, SourceOverride]


@dataclass(frozen=True)
class Published:
    """One row of the table.

    Attributes:
        into: folder below the image root that the archive fills; makes the published tree.
        num_bytes: size of the file.
        num_records: records of a label file.
        licence: what the publisher says, for the plan.
    """

    kind: Literal["labels", "images"]
    url: str
    licence: str
    into: str = ""
    num_bytes: int | None = None
    num_records: int | None = None


_Q_INSTRUCT = "https://huggingface.co/datasets/q-future/Q-Instruct-DB/resolve/main"
_Q_INSTRUCT_LICENCE = "card: Apache-2.0; repository: S-Lab 1.0, non-commercial"
_LLAVA = "https://huggingface.co/datasets/liuhaotian/LLaVA-Instruct-150K/resolve/main"
_VISUAL_GENOME = "https://cs.stanford.edu/people/rak248/VG_100K_2"

TABLE: Final[Mapping[SourceName, Published]] = MappingProxyType(
    {
        "q-instruct-labels": Published(
            kind="labels",
            url=f"{_Q_INSTRUCT}/cleaned_labels.json",
            licence=_Q_INSTRUCT_LICENCE,
            num_bytes=76_500_000,
            num_records=200_534,
        ),
        "q-instruct-images": Published(
            kind="images",
            url=f"{_Q_INSTRUCT}/q-instruct-images.tar",
            licence=_Q_INSTRUCT_LICENCE,
            num_bytes=5_630_000_000,
        ),
        "mix665k-labels": Published(
            kind="labels",
            url=f"{_LLAVA}/llava_v1_5_mix665k.json",
            licence="CC BY 4.0, and the terms of OpenAI",
            num_bytes=1_030_000_000,
            num_records=665_298,
        ),
        "coco": Published(
            kind="images",
            url="http://images.cocodataset.org/zips/train2017.zip",
            licence="CC BY 4.0 annotations; images by Flickr's terms",
            into="coco",
            num_bytes=19 * _GB,
        ),
        "gqa": Published(
            kind="images",
            url="https://downloads.cs.stanford.edu/nlp/data/gqa/images.zip",
            licence="CC BY 4.0",
            into="gqa",
            num_bytes=20 * _GB,
        ),
        # The publishers' own OCR-VQA is a script that fetches 200,000 addresses, most of them
        # dead. Until the downloader for the data set's own list exists, this version takes the
        # community's archive of the same files, already saved as .jpg.
        "ocr-vqa": Published(
            kind="images",
            url="https://huggingface.co/datasets/weizhiwang/llava_v15_instruction_images"
            "/resolve/main/ocr_vqa_images_llava_v15.zip",
            licence="the covers' owners; research use",
            into="ocr_vqa/images",
            num_bytes=18 * _GB,
        ),
        "textvqa": Published(
            kind="images",
            url="https://dl.fbaipublicfiles.com/textvqa/images/train_val_images.zip",
            licence="CC BY 4.0",
            into="textvqa",
            num_bytes=7 * _GB,
        ),
        "vg-1": Published(
            kind="images",
            url=f"{_VISUAL_GENOME}/images.zip",
            licence="CC BY 4.0",
            into="vg",
            num_bytes=9_200_000_000,
        ),
        "vg-2": Published(
            kind="images",
            url=f"{_VISUAL_GENOME}/images2.zip",
            licence="CC BY 4.0",
            into="vg",
            num_bytes=5_470_000_000,
        ),
    }
)
"""Every source by name, in the order of the published merge: Q-Instruct first."""

Q_INSTRUCT: Final[tuple[SourceName, ...]] = ("q-instruct-labels", "q-instruct-images")


def source_names(size: str, strategy: str, overrides: Overrides) -> list[SourceName]:
    """The sources that a run uses; none: the builtin data set."""
    if size == "Tiny":
        return list(Q_INSTRUCT) if any(name in overrides for name in Q_INSTRUCT) else []
    return list(Q_INSTRUCT) if strategy == "after" else list(TABLE)


def builtin_source(strategy: str) -> Source:
    """The data set that needs no download; with mix it has text-only records too."""
    return Source(name="builtin", kind="builtin", url=f"builtin:{strategy}")


def planned_sources(names: list[SourceName], overrides: Overrides) -> tuple[Source, ...]:
    """The sources in the order of the merge, with overrides applied."""
    return tuple(_planned(name, overrides.get(name, SourceOverride())) for name in names)


def source_violations(
    names: list[SourceName], overrides: Overrides, size: str, strategy: str
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
        url = override.url or TABLE[name].url
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


def _planned(name: SourceName, override: SourceOverride) -> Source:
    row = TABLE[name]
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
