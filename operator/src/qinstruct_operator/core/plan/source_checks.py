"""Rules about the sources of training data: their names and their addresses. Pure."""

from collections.abc import Iterator
from urllib.parse import SplitResult, unquote, urlsplit

from qinstruct_operator.api.spec import SourceOverride, Spec
from qinstruct_operator.catalog.sources import SOURCES
from qinstruct_operator.core.plan.sources import Q_INSTRUCT, source_names
from qinstruct_operator.errors import Violation
from qinstruct_trainer.contract.hub_files import FORM, parse_hub_url
from qinstruct_trainer.contract.object_urls import OBJECT_FORM, OBJECT_SCHEMES, parse_object_url
from qinstruct_trainer.contract.urls import shown_url


def sources_are_usable(spec: Spec) -> Iterator[Violation]:
    """Overrides name sources that the run uses, with addresses that can be fetched."""
    overrides = spec.data.sources
    names = source_names(spec.size, spec.strategy, overrides)
    for name, override in overrides.items():
        field = f"spec.data.sources.{name}"
        if name not in names:
            reason = f"is not used by size {spec.size}, strategy {spec.strategy}"
            yield Violation(field, None, reason, "remove it")
            continue
        yield from _url_violations(f"{field}.url", override.url)
        for index, mirror in enumerate(override.mirrors):
            yield from _mirror_violations(f"{field}.mirrors[{index}]", index, name, override)
            yield from _url_violations(f"{field}.mirrors[{index}]", mirror)
            yield from _mirror_revision_violations(
                f"{field}.mirrors[{index}]", override.revision, mirror
            )
        url = override.url or SOURCES[name].url
        yield from _revision_violations(f"{field}.revision", override.revision, url)
    if spec.size == "Tiny" and len([name for name in Q_INSTRUCT if name in overrides]) == 1:
        (missing,) = [name for name in Q_INSTRUCT if name not in overrides]
        yield Violation(
            f"spec.data.sources.{missing}",
            None,
            "is missing: size Tiny replaces its built-in data by labels and images together",
            f"add {missing}, or remove the other one",
        )


def _mirror_violations(
    field: str, index: int, name: str, override: SourceOverride
) -> Iterator[Violation]:
    mirror = override.mirrors[index]
    if mirror in (override.url or SOURCES[name].url, *override.mirrors[:index]):
        yield Violation(field, shown_url(mirror), "is tried before already", "remove it")


def _revision_violations(field: str, revision: str | None, url: str) -> Iterator[Violation]:
    file = parse_hub_url(url)
    if revision and file is None and "/resolve/" not in url:
        yield Violation(
            field,
            revision,
            f"means nothing for {shown_url(url)}, which is no hub address (hf://, or /resolve/)",
            "remove it, or use sha256 to pin the file",
        )
    elif revision and _own_revision(url) not in (None, revision):
        reason = f"is another one beside that of {shown_url(url)}"
        yield Violation(field, revision, reason, "remove one of the two")


def _mirror_revision_violations(
    field: str, revision: str | None, mirror: str
) -> Iterator[Violation]:
    own = _own_revision(mirror)
    if revision and own not in (None, revision):
        reason = f"is of revision {own}, and revision {revision} is of url and all mirrors"
        yield Violation(field, shown_url(mirror), reason, "remove one of the two")


def _own_revision(url: str) -> str | None:
    """The revision that a hub's address names itself; None where `revision` takes its place."""
    file = parse_hub_url(url)
    if file is not None:
        return file.revision
    _, resolve, tail = url.partition("/resolve/")
    named = unquote(tail.partition("/")[0])
    return named if resolve and named != "main" else None


def _url_violations(field: str, url: str | None) -> Iterator[Violation]:
    if url is None:
        return
    shown = shown_url(url)
    no_address = Violation(
        field, shown, "is not an address", "write https://, hf://, s3:// or file:///path"
    )
    try:
        parts = urlsplit(url)
        _ = parts.port  # the port is parsed on access
    except ValueError:
        yield no_address
        return
    if parts.scheme in OBJECT_SCHEMES:
        if parse_object_url(url) is None:
            yield Violation(field, shown, "names no object of a store", f"write {OBJECT_FORM}")
    elif parts.scheme == "hf":
        if parse_hub_url(url) is None:
            yield Violation(field, shown, "names no file of the hub", f"write {FORM}")
    elif parts.scheme not in ("http", "https", "file"):
        yield no_address
    else:
        yield from _address_violations(field, url, parts)


def _address_violations(field: str, url: str, parts: SplitResult) -> Iterator[Violation]:
    """What is wrong with an address whose scheme is right."""
    shown = shown_url(url)
    if (parts.scheme == "file") == bool(parts.netloc) or not parts.path.strip("/"):
        fix = "write https://host/path, or file:///path of a file"
        yield Violation(field, shown, "names no file", fix)
    elif any(character.isspace() or ord(character) < 32 for character in url):
        yield Violation(field, shown, "contains a blank", "write blanks as %20")
    elif parts.username or parts.password:
        reason = "contains a user name or password, which everyone who sees the run could read"
        yield Violation(field, shown, reason, "use an address without them")
    elif "/blob/" in parts.path and parts.hostname in ("huggingface.co", "github.com"):
        fix = f"use {url.replace('/blob/', '/resolve/')}"
        yield Violation(field, shown, "is a web page about the file", fix)
