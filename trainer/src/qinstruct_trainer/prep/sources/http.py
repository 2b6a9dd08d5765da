"""Fetch one file over HTTP(S) or from a local path: resumed, bounded, checked."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from qinstruct_trainer.contract.config import Source
from qinstruct_trainer.contract.errors import ConfigError, DataError, UnavailableError
from qinstruct_trainer.contract.field_paths import source_field
from qinstruct_trainer.contract.urls import shown_url
from qinstruct_trainer.durable_files import sha256_of
from qinstruct_trainer.file_kinds import file_kind, special_kind
from qinstruct_trainer.prep.progress import Progress
from qinstruct_trainer.prep.sources.addresses import ForbiddenAddressError
from qinstruct_trainer.prep.sources.answers import Stamp, stamp_of
from qinstruct_trainer.prep.sources.connection import open_client
from qinstruct_trainer.prep.sources.download import Address, Download, refuse_answer
from qinstruct_trainer.prep.sources.limits import EndlessError, Limits, Watch
from qinstruct_trainer.prep.sources.locations import SCHEMES
from qinstruct_trainer.prep.sources.partial_file import Notes, PartialFile
from qinstruct_trainer.prep.sources.retry import AttemptError, Retry
from qinstruct_trainer.prep.sources.segments import ChangedError, fetch_segments
from qinstruct_trainer.prep.sources.spans import SEGMENTATION, Segmentation
from qinstruct_trainer.prep.sources.stream import fetch_stream

_CHANCES: Final = 2  # of a server whose segments do not fit together; then it is one stream
_log = logging.getLogger(__name__)


def local_path(url: str) -> Path | None:
    """The path of a `file://` URL on this machine, or None for any other URL."""
    return Path(unquote(urlsplit(url).path)) if _scheme(url) == "file" else None


def fetch(
    source: Source,
    partial: Path,
    progress: Progress,
    retry: Retry | None = None,
    limits: Limits | None = None,
    segmentation: Segmentation = SEGMENTATION,
) -> Path:
    """Bring the source's file to this machine.

    Args:
        source: What to fetch.
        partial: Where the download is kept until it is whole. The caller deletes it.
        progress: Counts the bytes done, and learns their total.
        retry: Waiting between attempts.
        limits: What a download may take of bytes and of time.
        segmentation: How a large file is divided.

    Returns:
        The whole file: `partial`, or the path that a `file://` URL names.

    Raises:
        ConfigError: the URL is of no known scheme, or nothing can be asked for it.
        UnavailableError: the server does not answer, too slowly, or with something else than the
            file.
        DataError: the digest differs, or it is too large.
        StorageError: the file does not fit on the disk.
    """
    path = local_path(source.url)
    if path is not None:
        _check_local(source, path)
        progress.set(path.stat().st_size)
    elif _scheme(source.url) in SCHEMES:
        watch = Watch(limits or Limits())
        _download(source, partial, progress, retry or Retry(), watch, segmentation)
        path = partial
    else:
        raise ConfigError(
            f"{source_field(source.name)}.url {shown_url(source.url)} is not supported; "
            f"give a URL of {', '.join(f'{scheme}://' for scheme in SCHEMES)} or file://"
        )
    try:
        refuse_answer(source, file_kind(path))
        _check_digest(source, path)
    except (UnavailableError, DataError):
        forget(partial)
        raise
    progress.finish()
    return path


def ask_version(source: Source, limits: Limits) -> Stamp:
    """What the server of the source's url says of the file that it has now; it is asked once.

    By a request for the first byte: a HEAD is refused by many, is another request than the one that
    an object's address is signed for, and may have other headers than what is downloaded.

    Of a file of this machine only its size is said: its time stands in its unit's key.

    Raises:
        ConfigError: nothing can be asked for the address.
        UnavailableError: the server does not answer, or with something else than the file.
    """
    path = local_path(source.url)
    if path is not None:
        _check_local(source, path)
        return _stamp_of_path(path)
    with _open(source, Watch(limits)) as address:
        try:
            with address.ask({"Range": "bytes=0-0"}) as response:
                return stamp_of(response)
        except AttemptError as error:
            raise address.unavailable(str(error)) from error


def served(source: Source, partial: Path, path: Path) -> tuple[str, Stamp]:
    """Which of the source's addresses a whole file came from, and as which version of it.

    Args:
        source: Whose it is.
        partial: Where its download was kept.
        path: What `fetch` has returned.
    """
    if path != partial:
        urls = (source.url, *source.mirrors)
        return next(url for url in urls if local_path(url) == path), _stamp_of_path(path)
    file = PartialFile(partial)
    found = [(url, file.read_notes(url)) for url in (source.url, *source.mirrors)]
    known = [each for each in found if each[1] != Notes(identity=each[1].identity)]
    url, notes = (known or found)[0]
    return url, notes.stamp.model_copy(update={"num_bytes": file.size()})


def _stamp_of_path(path: Path) -> Stamp:
    return Stamp(num_bytes=path.stat().st_size)


def forget(partial: Path) -> None:
    """Delete a partial file and what is known about it."""
    PartialFile(partial).forget()


def _scheme(url: str) -> str:
    """The URL's scheme; "" if it is none at all."""
    try:
        return urlsplit(url).scheme
    except ValueError:
        return ""


def _check_local(source: Source, path: Path) -> None:
    what = why_unreadable(path)
    if what is not None:
        raise UnavailableError(
            f"{source_field(source.name)}.url {shown_url(source.url)} {what}; "
            f"name a {'JSON file' if source.kind == 'labels' else 'tar or zip archive'}"
        )


def why_unreadable(path: Path) -> str | None:
    """What keeps us from reading a user's file, as the rest of a sentence; None: nothing."""
    try:
        special = special_kind(path)
        if special is not None:
            return f"is {special.name}"
        path.open("rb").close()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in its name
        return "does not exist"
    except OSError as error:
        return f"cannot be read ({error.strerror}; this is user {os.geteuid()}:{os.getegid()})"
    return None


def _download(
    source: Source,
    partial: Path,
    progress: Progress,
    retry: Retry,
    watch: Watch,
    segmentation: Segmentation,
) -> None:
    partial.parent.mkdir(parents=True, exist_ok=True)
    file = PartialFile(partial)
    file.refuse_planted()
    with _open(source, watch) as address:
        download = Download(source, address.client, watch, file, progress, retry)
        _fetch_whole(download, segmentation)


@contextmanager
def _open(source: Source, watch: Watch) -> Iterator[Address]:
    with open_client(watch, watch.limits.networks) as client:
        address = Address(source, client, watch)
        try:
            yield address
        except ForbiddenAddressError as error:
            raise ConfigError(
                f"{source.name} cannot be fetched from {shown_url(source.url)}: {error}; "
                f"correct {source_field(source.name)}.url, or have the network of your mirror "
                "added to QINSTRUCT_PRIVATE_NETWORKS of the operator"
            ) from error
        except EndlessError as error:
            raise address.unavailable(str(error)) from error


def _fetch_whole(download: Download, segmentation: Segmentation) -> None:
    """In segments where the server gives those, else in one stream."""
    for _ in range(_CHANCES):
        is_divided = download.partial.read_notes(download.source.url).spans is not None
        if not is_divided and fetch_stream(download, segmentation.min_bytes):
            return
        try:
            fetch_segments(download, segmentation)
        except ChangedError as error:
            _log.warning("%s: %s; it is fetched anew", shown_url(download.source.url), error)
            download.partial.forget()
        else:
            return
    fetch_stream(download)


def _check_digest(source: Source, path: Path) -> None:
    if source.sha256 is None:
        return
    found = sha256_of(path)
    if found != source.sha256:
        raise DataError(
            f"{source.name}: {shown_url(source.url)} has sha256 {found}, not {source.sha256}; the "
            f"file changed or was damaged: correct {source_field(source.name)} and run again"
        )
