"""Fetch one file over HTTP(S) or from a local path: resumed, bounded, checked.

The bytes land in a partial file outside the unit, so that a killed download goes on where it
stopped; beside it a small JSON file keeps what is needed to ask for the rest (RFC 9110: Range
with If-Range, so that a changed file is sent whole).
"""

import logging
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qinstruct_trainer.contract.config import Source
from qinstruct_trainer.contract.errors import ConfigError, DataError, StorageError, UnavailableError
from qinstruct_trainer.contract.urls import shown_url, url_identity
from qinstruct_trainer.durable_files import (
    append_to,
    delete_tree,
    is_ours_alone,
    read_bounded,
    sha256_of,
    write_durably,
)
from qinstruct_trainer.file_kinds import ERROR_DOCUMENT, PAGE, POINTER, FileKind, file_kind
from qinstruct_trainer.prep.progress import Progress
from qinstruct_trainer.prep.sources.addresses import ForbiddenAddressError
from qinstruct_trainer.prep.sources.connection import open_client, why_failed
from qinstruct_trainer.prep.sources.limits import EndlessError, Limits, Watch, asked_seconds
from qinstruct_trainer.prep.sources.locations import SCHEMES, location_of

_MAX_REDIRECTS = 20
RETRIED_STATUS = frozenset({408, 416, 425, 429, 500, 502, 503, 504})
_MAX_NOTES_BYTES = 64 << 10
_VALIDATOR = r"^[ -~]{1,1000}$"  # that a request can carry, and that servers read
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Retry:
    """How often to try again without any progress, and how long to wait in between."""

    attempts: int = 6
    first_seconds: float = 1.0
    max_seconds: float = 60.0

    def delay(self, failures: int, asked: float | None) -> float:
        """Seconds before the next attempt: doubling, or what the server asked for, bounded."""
        return min(asked or self.first_seconds * 2.0 ** (failures - 1), self.max_seconds)


class _Partial(BaseModel):
    """What is known about a partial file: whose it is (`url_identity`), how to ask for the rest."""

    model_config = ConfigDict(frozen=True)
    url: str
    validator: Annotated[str, Field(pattern=_VALIDATOR)] | None = None
    total: int | None = None


class _AttemptError(Exception):
    """An attempt failed in a way that another one may not."""

    def __init__(self, reason: str, retry_after: float | None = None):
        super().__init__(reason)
        self.retry_after = retry_after


def local_path(url: str) -> Path | None:
    """The path of a `file://` URL on this machine, or None for any other URL."""
    return Path(unquote(urlsplit(url).path)) if _scheme(url) == "file" else None


def fetch(
    source: Source,
    partial: Path,
    progress: Progress,
    retry: Retry | None = None,
    limits: Limits | None = None,
) -> Path:
    """Bring the source's file to this machine.

    Args:
        source: What to fetch.
        partial: Where the download is kept until it is whole. The caller deletes it.
        progress: Counts the bytes done, and learns their total.
        retry: Waiting between attempts.
        limits: What a download may take of bytes and of time.

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
        _download(source, partial, progress, retry or Retry(), Watch(limits or Limits()))
        path = partial
    else:
        raise ConfigError(
            f"data.sources.{source.name}.url {shown_url(source.url)} is not supported; "
            f"give a URL of {', '.join(f'{scheme}://' for scheme in SCHEMES)} or file://"
        )
    try:
        _refuse_answer(source, file_kind(path))
        _check_digest(source, path)
    except (UnavailableError, DataError):
        forget(partial)
        raise
    progress.finish()
    return path


def forget(partial: Path) -> None:
    """Delete a partial file and what is known about it."""
    partial.unlink(missing_ok=True)
    _notes(partial).unlink(missing_ok=True)


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
            f"data.sources.{source.name}.url {shown_url(source.url)} {what}; "
            f"name a {'JSON file' if source.kind == 'labels' else 'tar or zip archive'}"
        )


def why_unreadable(path: Path) -> str | None:
    """What keeps us from reading a user's file, as the rest of a sentence; None: nothing."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # of a pipe the opening alone would wait for ever
            return "is a folder" if stat.S_ISDIR(mode) else "is no plain file"
        path.open("rb").close()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in its name
        return "does not exist"
    except OSError as error:
        return f"cannot be read ({error.strerror}; this is user {os.geteuid()}:{os.getegid()})"
    return None


def _download(
    source: Source, partial: Path, progress: Progress, retry: Retry, watch: Watch
) -> None:
    """Attempt after attempt until the file is whole; progress sets the patience back."""
    partial.parent.mkdir(parents=True, exist_ok=True)
    _refuse_planted(partial)
    failures, furthest = 0, _size(partial)
    with open_client(watch, watch.limits.networks) as client:
        while True:
            try:
                return _attempt(client, source, partial, progress, watch)
            except ForbiddenAddressError as error:
                raise ConfigError(
                    f"{source.name} cannot be fetched from {shown_url(source.url)}: {error}; "
                    f"correct data.sources.{source.name}.url, or have the network of your mirror "
                    "added to QINSTRUCT_PRIVATE_NETWORKS of the operator"
                ) from error
            except EndlessError as error:
                raise _unavailable(source, str(error)) from error
            except _AttemptError as error:
                failures = 1 if _size(partial) > furthest else failures + 1
                furthest = max(furthest, _size(partial))
                if failures >= retry.attempts:
                    raise _unavailable(source, f"{error} ({failures} attempts)") from error
                delay = min(retry.delay(failures, error.retry_after), watch.seconds_left())
                _log.warning("%s: %s; again in %.1f s", shown_url(source.url), error, delay)
                time.sleep(delay)


def _unavailable(source: Source, why: str) -> UnavailableError:
    return UnavailableError(
        f"{source.name} cannot be fetched from {shown_url(source.url)}: {why}; run again later, or "
        f"set data.sources.{source.name}.url to a mirror"
    )


def _attempt(
    client: httpx.Client, source: Source, partial: Path, progress: Progress, watch: Watch
) -> None:
    """One request. Returns when the file is whole."""
    known = _read_notes(partial, source.url)
    have = _size(partial) if known.validator else 0
    if have and have == known.total:  # whole already; stopped before the unit was published
        _check_size(source, partial, have, watch)
        progress.set(have)
        return
    # identity: the bytes counted, resumed and digested are those of the file itself
    headers = {"Accept-Encoding": "identity"}
    if have and known.validator:
        headers |= {"Range": f"bytes={have}-", "If-Range": known.validator}
    try:
        watch.check()
        request = location_of(source.name, source.url).request(client, headers)
        with final_answer(client, request) as response:
            _check_status(source, response, partial)
            have = have if _continues_at(response, have, known.total) else 0
            _receive(response, source, partial, have, progress, watch)
    except httpx.TransportError as error:
        raise _AttemptError(why_failed(error)) from error
    except httpx.TooManyRedirects as error:
        raise UnavailableError(
            f"{source.name} cannot be fetched from {shown_url(source.url)}: more than "
            f"{_MAX_REDIRECTS} redirects; correct data.sources.{source.name}.url"
        ) from error
    except (httpx.InvalidURL, UnicodeError) as error:  # the second: of a host's name
        raise UnavailableError(
            f"{source.name} cannot be fetched: {shown_url(source.url)} is no address, or leads to "
            f"what is none; correct data.sources.{source.name}.url"
        ) from error


@contextmanager
def final_answer(client: httpx.Client, request: httpx.Request) -> Iterator[httpx.Response]:
    """The answer behind all redirects. What a redirect says besides its address is not read."""
    for _ in range(_MAX_REDIRECTS + 1):
        response = client.send(request, stream=True)
        try:
            if response.next_request is None:
                yield response
                return
            request = response.next_request
        finally:
            response.close()
    raise httpx.TooManyRedirects(f"more than {_MAX_REDIRECTS} redirects")


def status_sentence(response: httpx.Response) -> str:
    """What a server answers, by the standard's phrase: that of the server could be any text."""
    status = response.status_code
    return f"the server answers {status} {httpx.codes.get_reason_phrase(status)}".strip()


def _check_status(source: Source, response: httpx.Response, partial: Path) -> None:
    status = response.status_code
    answer = status_sentence(response)
    is_changed = status == httpx.codes.PRECONDITION_FAILED
    if is_changed or status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
        forget(partial)  # of another version, or longer than the file: it is not a part of it
    if is_changed or status in RETRIED_STATUS:
        raise _AttemptError(answer, asked_seconds(response.headers.get("retry-after", "")))
    if status not in {httpx.codes.OK, httpx.codes.PARTIAL_CONTENT}:
        raise UnavailableError(
            f"{source.name} cannot be fetched from {shown_url(source.url)}: {answer}; "
            f"correct data.sources.{source.name}.url or set it to a mirror"
            f"{location_of(source.name, source.url).way_out(status)}"
        )
    if response.headers.get("content-type", "").startswith("text/html"):
        _refuse_answer(source, PAGE)


def _continues_at(response: httpx.Response, have: int, total: int | None) -> bool:
    """Whether the answer is the rest that was asked for, and not the whole file again.

    Raises:
        _AttemptError: it is another part.
    """
    if response.status_code != httpx.codes.PARTIAL_CONTENT:
        return False
    content_range = response.headers.get("content-range", "")
    span, _, whole = content_range.removeprefix("bytes ").partition("/")
    if span.partition("-")[0] != str(have) or (total is not None and whole != str(total)):
        raise _AttemptError("the server sends another range than was asked for")
    return True


def _receive(
    response: httpx.Response,
    source: Source,
    partial: Path,
    have: int,
    progress: Progress,
    watch: Watch,
) -> None:
    length = response.headers.get("content-length", "")
    total = have + int(length) if length.isdecimal() else None
    _check_size(source, partial, total or have, watch)
    _check_space(partial, total, have)
    note = _Partial(url=url_identity(source.url), validator=_validator(response), total=total)
    if have == 0:
        forget(partial)
    write_durably(_notes(partial), note.model_dump_json())
    progress.total = total
    progress.set(have)
    with append_to(partial) as file:
        for chunk in response.iter_raw():  # as they come: a broken connection loses none
            _check_size(source, partial, file.tell() + len(chunk), watch)
            file.write(chunk)
            file.flush()  # what is counted survives a kill
            watch.add(len(chunk))
            progress.set(file.tell())
    if total is not None and _size(partial) != total:
        raise _AttemptError(f"{_size(partial)} of {total} bytes came")


def _refuse_planted(partial: Path) -> None:
    """Of a partial file only one that we alone have: another name for its bytes is a trap."""
    for path in (partial, _notes(partial)):
        if os.path.lexists(path) and not is_ours_alone(path):
            delete_tree(path)


def _check_size(source: Source, partial: Path, num_bytes: int, watch: Watch) -> None:
    most = watch.limits.max_bytes
    if most is not None and num_bytes > most:
        forget(partial)
        raise DataError(
            f"{source.name}: {shown_url(source.url)} has more than {most:,} bytes, the most that "
            "this source may have; correct its url, or if it is the right file set "
            f"data.sources.{source.name}.maxBytes"
        )


def _check_space(partial: Path, total: int | None, have: int) -> None:
    free = shutil.disk_usage(partial.parent).free
    if total is not None and total - have > free:
        raise StorageError(
            f"the download needs {total - have:,} bytes and {partial.parent} has {free:,} free; "
            "free space there and run again"
        )


def _validator(response: httpx.Response) -> str | None:
    """What If-Range may carry: a strong ETag, else the date of the last change."""
    etag: str = response.headers.get("etag", "")
    changed: str = response.headers.get("last-modified", "")
    validator = changed if not etag or etag.startswith("W/") else etag
    return validator if re.fullmatch(_VALIDATOR, validator) else None


def _refuse_answer(source: Source, kind: FileKind | None) -> None:
    """Refuse what servers send in a file's place; all else is for who reads it."""
    if kind not in (PAGE, ERROR_DOCUMENT, POINTER):
        return
    expected = "a JSON file" if source.kind == "labels" else "an archive"
    way_out = f"open it in a browser to see why, and correct data.sources.{source.name}.url"
    if "/blob/" in source.url:
        way_out = "it is the page about the file: use /resolve/ instead of /blob/ in the URL"
    elif kind == POINTER:
        way_out = f"set data.sources.{source.name}.url to the file itself (`git lfs pull` makes it)"
    raise UnavailableError(
        f"{source.name}: {shown_url(source.url)} is {kind.name}, not {expected}; {way_out}"
    )


def _check_digest(source: Source, path: Path) -> None:
    if source.sha256 is None:
        return
    found = sha256_of(path)
    if found != source.sha256:
        raise DataError(
            f"{source.name}: {shown_url(source.url)} has sha256 {found}, not {source.sha256}; the "
            f"file changed or was damaged: correct data.sources.{source.name} and run again"
        )


def _notes(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.json")


def _read_notes(partial: Path, url: str) -> _Partial:
    identity = url_identity(url)
    try:
        notes = _Partial.model_validate_json(read_bounded(_notes(partial), _MAX_NOTES_BYTES))
    except (OSError, ValidationError):
        return _Partial(url=identity)
    return notes if notes.url == identity else _Partial(url=identity)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
