"""Write the members of an archive as files: some at a time, and those that are there only once.

Several threads write: zlib, SHA-256 and the system's calls hold no lock of the interpreter, and a
network volume takes its time for each file. A file of an attempt that was killed stays if it has
the member's content, which is compared, not believed.
"""

import hashlib
import os
import zlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Final, Self

from qinstruct_trainer.durable_files import is_ours_alone
from qinstruct_trainer.prep.progress import Progress
from qinstruct_trainer.prep.unit_manifest import MTIME_NS, WrittenFile

_THREADS: Final = 4
_CHUNK: Final = 1 << 20
# A thread gets some members at once: to hand over each one costs as much as to write it.
_BATCH_FILES: Final = 16
_BATCH_BYTES: Final = 2 << 20
_AHEAD_BYTES: Final = 32 << 20  # of members that wait to be written


@dataclass(frozen=True)
class Member:
    """A file of an archive.

    Attributes:
        path: Below the folder; it is safe.
        size: In bytes.
        open: Its content, from the start each time; another thread calls it.
        crc: CRC-32 of the content, where the archive has one.
    """

    path: PurePosixPath
    size: int
    open: Callable[[], IO[bytes]]
    crc: int | None = None


class MemberFiles:
    """Members as files below a folder; a context manager that ends its threads.

    Args:
        folder: Exists; may hold files of an attempt that was killed.
        earlier: Where a member's file may be from such an attempt; nothing where none was.
        progress: Counts the files that are there.
    """

    def __init__(
        self,
        folder: Path,
        earlier: Callable[[PurePosixPath], tuple[Path, ...]] | None,
        progress: Progress,
    ):
        self._folder = folder
        self._earlier = earlier
        self._progress = progress
        self._batch: list[Member] = []
        self._batch_bytes = 0
        self._pending: deque[tuple[Future[list[WrittenFile]], list[Member], int]] = deque()
        self._pending_bytes = 0
        self._names: set[PurePosixPath] = set()
        self._folders: set[PurePosixPath] = set()
        self._written: dict[str, WrittenFile] = {}
        self._pool = ThreadPoolExecutor(_THREADS, "unpack")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def add(self, member: Member) -> None:
        """Have a member written soon.

        Raises:
            OSError: this one or an earlier one cannot be written.
            Exception: what reading one raises.
        """
        self._prepare(member)
        self._batch.append(member)
        self._batch_bytes += member.size
        if len(self._batch) >= _BATCH_FILES or self._batch_bytes >= _BATCH_BYTES:
            self._submit()

    def add_now(self, member: Member) -> None:
        """Write a member that can be read once and only now."""
        self._prepare(member)
        path = self._folder / member.path
        path.unlink(missing_ok=True)
        self._note([member], [_write(member, path)])

    def finish(self) -> dict[str, WrittenFile]:
        """Wait until all are written; what they are, by their paths."""
        if self._batch:
            self._submit()
        while self._pending:
            self._collect()
        return self._written

    def _prepare(self, member: Member) -> None:
        if member.path in self._names:  # the last of one name counts, as in tar
            self.finish()
            (self._folder / member.path).unlink()
        self._names.add(member.path)
        folder = member.path.parent
        if folder not in self._folders:
            (self._folder / folder).mkdir(parents=True, exist_ok=True)
            self._folders.add(folder)

    def _submit(self) -> None:
        batch, num_bytes = self._batch, self._batch_bytes
        self._batch, self._batch_bytes = [], 0
        while self._pending and (
            len(self._pending) > 2 * _THREADS or self._pending_bytes + num_bytes > _AHEAD_BYTES
        ):
            self._collect()
        self._pending.append((self._pool.submit(self._put_all, batch), batch, num_bytes))
        self._pending_bytes += num_bytes

    def _collect(self) -> None:
        future, batch, num_bytes = self._pending.popleft()
        self._note(batch, future.result())
        self._pending_bytes -= num_bytes

    def _note(self, members: list[Member], files: list[WrittenFile]) -> None:
        for member, file in zip(members, files, strict=True):
            self._written[str(member.path)] = file
        self._progress.add(len(files))

    def _put_all(self, members: list[Member]) -> list[WrittenFile]:
        return [self._put(member) for member in members]

    def _put(self, member: Member) -> WrittenFile:
        path = self._folder / member.path
        if self._earlier is not None:
            for there in self._earlier(member.path):
                digest = _digest_if_same(there, member)
                if digest is not None:
                    there.rename(path)
                    return WrittenFile(member.size, digest)
            path.unlink(missing_ok=True)
        return _write(member, path)


def _write(member: Member, path: Path) -> WrittenFile:
    digest = hashlib.sha256()
    num_bytes = 0
    with member.open() as content, path.open("xb") as out:  # follows no link, shortens no file
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
            out.write(chunk)
            num_bytes += len(chunk)
        out.flush()
        with suppress(PermissionError):  # a file system may know no times
            os.utime(out.fileno(), ns=(MTIME_NS, MTIME_NS))
    return WrittenFile(num_bytes, digest.hexdigest())


def _digest_if_same(path: Path, member: Member) -> str | None:
    """SHA-256 of a file that has a member's content; None if it has another one or is not there."""
    if not is_ours_alone(path) or path.stat().st_size != member.size:
        return None
    digest = hashlib.sha256()
    with path.open("rb") as file:
        if member.crc is not None:
            crc = 0
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                crc = zlib.crc32(chunk, crc)
            return digest.hexdigest() if crc == member.crc else None
        with member.open() as content:
            while chunk := file.read(_CHUNK):
                if content.read(len(chunk)) != chunk:
                    return None
                digest.update(chunk)
    return digest.hexdigest()
