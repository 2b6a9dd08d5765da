"""Fetch many images by their addresses: in parallel, each on its own, what is dead is listed.

The addresses are those of a fetched list, which is not trusted: each goes through the same policy
of hosts as a source's own, is bounded in bytes, and is an image by its bytes or is not kept.
"""

import ipaddress
import itertools
import socket
import threading
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx

from qinstruct_trainer.contract.errors import DataError, UnavailableError
from qinstruct_trainer.contract.field_paths import source_field
from qinstruct_trainer.contract.urls import shown_url
from qinstruct_trainer.data.images import starts_like_image
from qinstruct_trainer.durable_files import delete_tree, is_ours_alone
from qinstruct_trainer.prep.image_list import ListedImage
from qinstruct_trainer.prep.progress import Progress
from qinstruct_trainer.prep.sources.addresses import ForbiddenAddressError
from qinstruct_trainer.prep.sources.answers import RETRIED_STATUS, final_answer, status_sentence
from qinstruct_trainer.prep.sources.connection import open_client
from qinstruct_trainer.prep.sources.connection_faults import (
    is_lasting,
    is_of_tls,
    is_unknown_name,
    why_failed,
)
from qinstruct_trainer.prep.sources.limits import EndlessError, Limits, Watch, asked_seconds
from qinstruct_trainer.prep.sources.retry import LASTING_ATTEMPTS, Retry

_PARALLEL: Final = 16
_PARALLEL_PER_HOST: Final = 8
_MAX_IMAGE_BYTES: Final = 64 << 20
_NO_ADDRESS: Final = (
    *(httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.TooManyRedirects),
    UnicodeError,  # of a host's name, or of half a surrogate pair
)
_AS_IT_IS: Final = {"Accept-Encoding": "identity"}
# An address that fails so often may be slow or dead; so many of them are a net or a host that is
# not there, which more patience does not mend.
_MAX_UNREACHED: Final = 50
_NAMES_TRIED: Final = 3  # of hosts that have answered, to know that names are found now


class _DeadError(Exception):
    """An address has no image, and will not have one in an hour; the text says why."""


class _UnreachedError(Exception):
    """An address may have an image another time; the text says why not now."""


class _UnknownNameError(Exception):
    """Nobody knows the host's name: it is gone, or names are not found now."""


def fetch_images(
    images: Sequence[ListedImage],
    folder: Path,
    source: str,
    progress: Progress,
    *,
    limits: Limits | None = None,
    retry: Retry | None = None,
) -> dict[str, str]:
    """Bring images into a folder; those that are there are not fetched again.

    Args:
        images: With names of their own.
        folder: Takes them; each appears when it is whole.
        source: For messages.
        progress: Counts the images that are there or dead.
        limits: Bytes and time of all of them together.
        retry: Waiting between the attempts for one image.

    Returns:
        Why there is no image, by its name: dead addresses, ascending by name.

    Raises:
        UnavailableError: some could not be reached now, or none of them is alive. What has come
            stays in the folder, so that another call goes on.
    """
    if folder.is_symlink():
        delete_tree(folder)  # planted: nothing is written to where it leads
    folder.mkdir(parents=True, exist_ok=True)
    watch = Watch(limits or Limits())
    with open_client(watch, watch.limits.networks) as client:
        work = _Work(client, source, folder, progress, watch, retry or Retry(), deque(images))
        progress.total = len(images)
        with ThreadPoolExecutor(_PARALLEL) as pool:
            for worker in [pool.submit(work.run) for _ in range(_PARALLEL)]:
                worker.result()
    _settle_unknown(work, images)
    _judge(work, source, len(images))
    progress.finish()
    return dict(sorted(work.dead.items()))


def _settle_unknown(work: "_Work", images: Sequence[ListedImage]) -> None:
    """A name that nobody knows is dead, if that of a host which has given an image is found now."""
    if not work.unknown:
        return
    given = {_host(image.url) for image in images if (work.folder / image.name).exists()}
    is_dead = any(_is_found(host) for host in itertools.islice(given, _NAMES_TRIED))
    for host, unknown in work.unknown.items():
        why = "nobody knows its host's name"
        if not is_dead:
            work.note_unreached(host, why, len(unknown))
        else:
            work.dead |= {image.name: f"{shown_url(image.url)}: {why}" for image in unknown}


def _is_found(host: str) -> bool:
    """Whether it is a name, and known."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        try:
            return bool(socket.getaddrinfo(host, None))
        except (OSError, UnicodeError):
            return False
    return False


def _judge(work: "_Work", source: str, num_images: int) -> None:
    way_out = f"set {source_field(source)}.url to an archive of the images"
    if work.ended is not None:
        raise UnavailableError(
            f"{source}: {work.ended}; run again later, which goes on, or {way_out}"
        )
    if work.first_unreached is not None:
        raise UnavailableError(
            f"{source}: {work.num_unreached:,} of {num_images:,} images cannot be reached now, "
            f"first {work.first_unreached}; run again later, which goes on, or {way_out}"
        )
    if num_images and len(work.dead) == num_images:
        raise UnavailableError(
            f"{source}: none of the {num_images:,} addresses of the list has an image, the first: "
            f"{next(iter(work.dead.values()))}; {way_out}, or where they lead to "
            "your mirror have its network added to QINSTRUCT_PRIVATE_NETWORKS of the operator"
        )


@dataclass
class _Work:
    """What the threads share: the images that are left, and what became of the others."""

    client: httpx.Client
    source: str
    folder: Path
    progress: Progress
    watch: Watch
    retry: Retry
    left: deque[ListedImage]
    dead: dict[str, str] = field(default_factory=dict)
    unknown: dict[str, list[ListedImage]] = field(default_factory=dict)  # by their host
    num_unreached: int = 0
    first_unreached: str | None = None  # from where, and why
    ended: str | None = None
    num_bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _hosts: defaultdict[str, threading.Semaphore] = field(
        default_factory=lambda: defaultdict(lambda: threading.Semaphore(_PARALLEL_PER_HOST))
    )

    def run(self) -> None:
        """Fetch one image after the other until none is left; an error ends all threads."""
        try:
            while True:
                self._obtain(self.left.popleft())
        except IndexError:
            return
        except EndlessError as error:
            self.ended = str(error)
        finally:
            self.left.clear()

    def _obtain(self, image: ListedImage) -> None:
        host = _host(image.url)
        with self._lock:
            semaphore = self._hosts[host]
        try:
            if not is_ours_alone(self.folder / image.name):
                with semaphore:
                    self._fetch(image)
        except _DeadError as error:
            self.dead[image.name] = f"{shown_url(image.url)}: {error}"
        except _UnreachedError as error:
            self.note_unreached(host, str(error))
        except _UnknownNameError:
            with self._lock:
                self.unknown.setdefault(host, []).append(image)
        with self._lock:
            self.progress.add()

    def note_unreached(self, host: str, why: str, num_images: int = 1) -> None:
        """Count images that cannot be reached now; many of them end the work."""
        with self._lock:
            self.num_unreached += num_images
            self.first_unreached = self.first_unreached or f"from {host:.255}: {why}"
            if self.num_unreached >= _MAX_UNREACHED:
                self.left.clear()

    def _fetch(self, image: ListedImage) -> None:
        """Attempt after attempt."""
        for failures in range(1, self.retry.attempts + 1):
            asked = None
            try:
                why, asked = self._attempt(image)
            except ForbiddenAddressError as error:
                raise _DeadError(str(error)) from error
            except _NO_ADDRESS as error:
                raise _DeadError(f"no address ({type(error).__name__})") from error
            except httpx.TransportError as error:
                why = self._why(error, failures)
            if why is None:
                return
            if failures < self.retry.attempts:
                time.sleep(min(self.retry.delay(failures, asked), self.watch.seconds_left()))
        raise _UnreachedError(f"{why} ({self.retry.attempts} attempts)")

    def _why(self, error: httpx.TransportError, failures: int) -> str:
        """Why another attempt is due after so many failures."""
        if failures == self.retry.attempts and is_unknown_name(error):
            raise _UnknownNameError from error
        why = why_failed(error)
        if failures >= LASTING_ATTEMPTS and is_lasting(error):
            if is_of_tls(error):  # it may be ours to mend, and a dead image stays dead
                raise _UnreachedError(f"{why} ({failures} attempts)") from error
            raise _DeadError(why) from error
        return why

    def _attempt(self, image: ListedImage) -> tuple[str | None, float | None]:
        """One request. Why another one is due, and when the server wants it; None: it is there."""
        if _host(image.url) in self.unknown:  # after all attempts for another image
            raise _UnknownNameError
        request = self.client.build_request("GET", image.url, headers=_AS_IT_IS)
        part = self.folder / f".{threading.get_ident()}.part"
        with final_answer(self.client, request) as response:
            answer = status_sentence(response)
            if response.status_code in RETRIED_STATUS:
                return answer, asked_seconds(response.headers.get("retry-after", ""))
            if response.status_code != httpx.codes.OK:
                raise _DeadError(answer)
            part.unlink(missing_ok=True)
            self._receive(response, part)
        if not starts_like_image(part):
            raise _DeadError("what the server sends is no image")
        part.replace(self.folder / image.name)
        return None, None

    def _receive(self, response: httpx.Response, part: Path) -> None:
        num_bytes = 0
        with part.open("xb") as file:
            for chunk in response.iter_raw():
                num_bytes += len(chunk)
                if num_bytes > _MAX_IMAGE_BYTES:
                    raise _DeadError(f"it has more than {_MAX_IMAGE_BYTES >> 20} MiB")
                file.write(chunk)
                self._count(len(chunk))

    def _count(self, num_bytes: int) -> None:
        most = self.watch.limits.max_bytes
        with self._lock:
            self.watch.add(num_bytes)
            self.num_bytes += num_bytes
        if most is not None and self.num_bytes > most:
            raise DataError(
                f"{self.source}: the images of its list have more than {most:,} bytes, the most "
                "that this source may have; correct its url, or if it is the right list set "
                f"{source_field(self.source)}.maxBytes"
            )


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
