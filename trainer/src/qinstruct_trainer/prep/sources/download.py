"""One file on its way: its requests, the patience with its server, and the bounds of both."""

import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import httpx

from qinstruct_trainer.contract.config import Source
from qinstruct_trainer.contract.errors import DataError, StorageError, UnavailableError
from qinstruct_trainer.contract.field_paths import source_field
from qinstruct_trainer.contract.urls import shown_url
from qinstruct_trainer.file_kinds import ERROR_DOCUMENT, PAGE, POINTER, FileKind
from qinstruct_trainer.prep.progress import Progress
from qinstruct_trainer.prep.sources.answers import (
    MAX_REDIRECTS,
    RETRIED_STATUS,
    final_answer,
    status_sentence,
)
from qinstruct_trainer.prep.sources.connection import Client
from qinstruct_trainer.prep.sources.connection_faults import is_lasting, why_failed
from qinstruct_trainer.prep.sources.limits import Watch, asked_seconds
from qinstruct_trainer.prep.sources.locations import Location, location_of
from qinstruct_trainer.prep.sources.partial_file import PartialFile
from qinstruct_trainer.prep.sources.retry import LASTING_ATTEMPTS, AttemptError, Retry, Stalls

Result = TypeVar("Result")
_log = logging.getLogger(__name__)


_NOT_A_PART: Final = (
    httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE,
    httpx.codes.PRECONDITION_FAILED,
)


class RangeRefusedError(AttemptError):
    """What is there is longer than the file, or of another version: it is not a part of it."""


@dataclass(frozen=True)
class Address:
    """Where a source's file comes from, and by which client."""

    source: Source
    client: Client
    watch: Watch

    def unavailable(self, why: str) -> UnavailableError:
        """The sentence of a server that does not give the file."""
        return UnavailableError(
            f"{self.source.name} cannot be fetched from {shown_url(self.source.url)}: {why}; run "
            f"again later, or set {source_field(self.source.name)}.url to a mirror"
        )

    @contextmanager
    def ask(self, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """An answer that has the file, or a part of it.

        Raises:
            AttemptError: there is none, this time.
            UnavailableError: there will be none.
        """
        # identity: the bytes counted, resumed and digested are those of the file itself
        headers = {"Accept-Encoding": "identity", **headers}
        try:
            self.watch.check()
            location = location_of(self.source.name, self.source.url)
            request = location.request(self.client, headers)
            with final_answer(self.client, request) as response:
                self._check_status(response, location)
                yield response
        except httpx.TransportError as error:
            raise AttemptError(why_failed(error), is_lasting=is_lasting(error)) from error
        except httpx.TooManyRedirects as error:
            raise UnavailableError(
                f"{self.source.name} cannot be fetched from {shown_url(self.source.url)}: more "
                f"than {MAX_REDIRECTS} redirects; correct {source_field(self.source.name)}.url"
            ) from error
        except (httpx.InvalidURL, UnicodeError) as error:  # the second: of a host's name
            raise UnavailableError(
                f"{self.source.name} cannot be fetched: {shown_url(self.source.url)} is no "
                "address, or leads to what is none; correct "
                f"{source_field(self.source.name)}.url"
            ) from error

    def _check_status(self, response: httpx.Response, location: Location) -> None:
        status = response.status_code
        answer = status_sentence(response)
        if status in _NOT_A_PART:
            raise RangeRefusedError(answer)
        if status in RETRIED_STATUS:
            raise AttemptError(answer, asked_seconds(response.headers.get("retry-after", "")))
        if status not in {httpx.codes.OK, httpx.codes.PARTIAL_CONTENT}:
            raise UnavailableError(
                f"{self.source.name} cannot be fetched from {shown_url(self.source.url)}: "
                f"{answer}; correct {source_field(self.source.name)}.url or set it to a mirror"
                f"{location.way_out(status)}"
            )
        if response.headers.get("content-type", "").startswith("text/html"):
            refuse_answer(self.source, PAGE)


@dataclass(frozen=True)
class Download(Address):
    """A source's file on its way, and to where it goes."""

    partial: PartialFile
    progress: Progress
    retry: Retry

    def patiently(
        self,
        attempt: Callable[[], Result],
        *,
        have: Callable[[], int],
        have_together: Callable[[], int] | None = None,
        wait: Callable[[float], None] = time.sleep,
    ) -> Result:
        """Attempt after attempt until one returns.

        Args:
            attempt: One request.
            have: How many bytes these attempts have brought; more make the next wait short.
            have_together: The same of all connections, where there are more; while others bring
                bytes, patience has no end.
            wait: Called with the seconds before the next attempt.

        Raises:
            UnavailableError: too many of them brought nothing, or two what does not heal.
        """
        mine, together = Stalls(have), Stalls(have_together or have)
        while True:
            try:
                return attempt()
            except AttemptError as error:
                failures, idle = mine.count(), together.count()
                most = LASTING_ATTEMPTS if error.is_lasting else self.retry.attempts
                if idle >= most:
                    raise self.unavailable(f"{error} ({idle} attempts)") from error
                delay = self.retry.delay(failures, error.retry_after)
                delay = min(delay, self.watch.seconds_left())
                _log.warning("%s: %s; again in %.1f s", shown_url(self.source.url), error, delay)
                wait(delay)

    def check_size(self, num_bytes: int) -> None:
        """Prove that the file may have so many bytes.

        Raises:
            DataError: it may not; what has come is forgotten.
        """
        most = self.watch.limits.max_bytes
        if most is not None and num_bytes > most:
            self.partial.forget()
            raise DataError(
                f"{self.source.name}: {shown_url(self.source.url)} has more than {most:,} bytes, "
                "the most that this source may have; correct its url, or if it is the right file "
                f"set {source_field(self.source.name)}.maxBytes"
            )

    def check_space(self, num_bytes: int) -> None:
        """Prove that there is room for so many bytes more.

        Raises:
            StorageError: there is not.
        """
        folder = self.partial.path.parent
        free = shutil.disk_usage(folder).free
        if num_bytes > free:
            raise StorageError(
                f"the download needs {num_bytes:,} bytes and {folder} has {free:,} free; "
                "free space there and run again"
            )


def refuse_answer(source: Source, kind: FileKind | None) -> None:
    """Refuse what servers send in a file's place; all else is for who reads it.

    Raises:
        UnavailableError: it is that.
    """
    if kind not in (PAGE, ERROR_DOCUMENT, POINTER):
        return
    expected = "a JSON file" if source.kind == "labels" else "an archive"
    way_out = f"open it in a browser to see why, and correct {source_field(source.name)}.url"
    if "/blob/" in source.url:
        way_out = "it is the page about the file: use /resolve/ instead of /blob/ in the URL"
    elif kind == POINTER:
        way_out = (
            f"set {source_field(source.name)}.url to the file itself (`git lfs pull` makes it)"
        )
    raise UnavailableError(
        f"{source.name}: {shown_url(source.url)} is {kind.name}, not {expected}; {way_out}"
    )
