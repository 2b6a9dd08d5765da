"""The bytes of a tar in any compression, as one stream whose length and memory are bounded.

Everything that unpacks a tar reads through it, so that whatever an archive makes one read, member
or header or what is skipped, is counted in one place.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import IO, Final, Protocol

from qinstruct_trainer.contract.errors import DataError

# What follows the end of one compressed stream is copied for the next, and a stream may be of
# nothing: the larger a chunk, the longer each of them takes.
_CHUNK = 1 << 14
_MAX_XZ_MEMORY = 128 << 20  # `xz -9` asks for 65 MiB to unpack


class _Decompressor(Protocol):
    """What bz2's and lzma's objects have."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gzip:
    """zlib's object, with the interface of the others."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        unpacked = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        self.needs_input = len(unpacked) < max_length and not self._inner.unconsumed_tail
        return unpacked


def _xz() -> _Decompressor:
    return lzma.LZMADecompressor(memlimit=_MAX_XZ_MEMORY)


_KINDS: Final[dict[bytes, Callable[[], _Decompressor]]] = {
    b"\x1f\x8b": _Gzip,
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ\0": _xz,
    b"\x5d\0\0": _xz,
}


class UnpackedStream:
    """Reads a file that may be compressed.

    Args:
        file: At its start.
        max_bytes: Of the unpacked content.
        refuse: Makes the error for content that is longer.
    """

    def __init__(self, file: IO[bytes], max_bytes: int, refuse: Callable[[str], DataError]):
        self._file = file
        self._left = max_bytes
        self._refuse = refuse
        start = file.read(6)
        file.seek(0)
        self._make = next((made for magic, made in _KINDS.items() if start.startswith(magic)), None)
        self._inner: _Decompressor | None = None

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end.

        Raises:
            DataError: the content is longer than it may be.
            EOFError: the file ends before its content does.
        """
        content = self._unpack(size, self._make) if self._make else self._file.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise self._refuse("unpacks to more bytes than any but a bomb has")
        return content

    def _unpack(self, size: int, make: Callable[[], _Decompressor]) -> bytes:
        self._inner = self._inner or make()
        while True:
            packed = b""
            if self._inner.eof:  # several compressed files one after the other are one
                packed = self._inner.unused_data.lstrip(b"\0") or self._file.read(_CHUNK)
                if not packed.lstrip(b"\0"):
                    return b""
                self._inner = make()
            elif self._inner.needs_input:
                packed = self._file.read(_CHUNK)
                if not packed:
                    raise EOFError("the compressed content ends too early")
            if content := self._inner.decompress(packed, size):
                return content
