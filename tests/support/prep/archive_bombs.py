"""Small archives that become large, or many, before one of their members is written."""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

MIB = 1 << 20
Squeeze = Callable[[bytes], bytes]
SQUEEZERS: dict[str, Squeeze] = {
    "tar": bytes,
    "gz": lambda content: gzip.compress(content, 5),
    "bz2": lambda content: bz2.compress(content, 1),
    "xz": lambda content: lzma.compress(content, preset=0),
    "lzma": lambda content: lzma.compress(content, lzma.FORMAT_ALONE, preset=0),
}


def header(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    return member.tobuf(tarfile.USTAR_FORMAT)


def blocks(content: bytes) -> bytes:
    """Filled up to tar's next block."""
    return content + bytes(-len(content) % 512)


def _extended(kind: bytes, content: bytes) -> bytes:
    return header("././@LongLink", len(content), kind) + blocks(content)


def long_gnu_name(num_bytes: int = 60 * MIB) -> bytes:
    return _extended(tarfile.GNUTYPE_LONGNAME, b"a" * num_bytes) + header("a")


def long_gnu_link(num_bytes: int = 60 * MIB) -> bytes:
    return _extended(tarfile.GNUTYPE_LONGLINK, b"a" * num_bytes) + header("a")


def _pax(kind: bytes, num_bytes: int) -> bytes:
    record = f"{num_bytes} comment=".encode()
    return _extended(kind, record + b"a" * (num_bytes - len(record) - 1) + b"\n") + header("a")


def long_pax_record(num_bytes: int = 60 * MIB) -> bytes:
    return _pax(tarfile.XHDTYPE, num_bytes)


def long_global_record(num_bytes: int = 60 * MIB) -> bytes:
    return _pax(tarfile.XGLTYPE, num_bytes)


def many_global_records() -> bytes:
    """Each remembers 60 KB for the rest of the archive."""
    value = "a" * 60_000
    parts = []
    for number in range(2_000):
        record = f"60020 {number:06}={value}\n".encode()
        record = f"{len(record)} ".encode() + record.partition(b" ")[2]
        parts.append(_extended(tarfile.XGLTYPE, record) + header(f"{number}.jpg"))
    return b"".join(parts)


def many_header_layers() -> bytes:
    """A long name for a long name for a long name."""
    return _extended(tarfile.GNUTYPE_LONGNAME, b"a" * 600) * 5_000 + header("a")


def long_sparse_map() -> bytes:
    """A file with holes whose list of holes is 60 MiB, in tar's first way to write it."""
    start = bytearray(header("a", 0, tarfile.GNUTYPE_SPARSE))
    start[482] = 1  # the list goes on
    start[148:156] = b" " * 8
    start[148:156] = f"{sum(start):06o}\0 ".encode()
    more = (b"00000000001\0" * 2) * 21 + b"\1" + bytes(7)
    return bytes(start) + more * (60 * MIB // 512) + bytes(512)


def content_of_a_folder() -> bytes:
    """What is skipped must be unpacked to be skipped."""
    return header("folder", 200 * MIB, b"Q") + bytes(200 * MIB) + header("a")


def many_empty_files() -> bytes:
    return b"".join(header(f"{number}.jpg") for number in range(20_000))


def many_folders() -> bytes:
    return b"".join(header(f"{number}/a/b/c/d/e/f/g/h") for number in range(2_000))


def many_folder_members() -> bytes:
    return b"".join(header(f"{number}/", 0, tarfile.DIRTYPE) for number in range(20_000))


def deep_folder() -> bytes:
    return _extended(tarfile.GNUTYPE_LONGNAME, b"a/" * 2_000 + b"b") + header("a")


def long_path() -> bytes:
    return _extended(tarfile.GNUTYPE_LONGNAME, b"/".join([b"a" * 200] * 15)) + header("a")


TARS: list[Callable[[], bytes]] = [
    long_gnu_name,
    long_gnu_link,
    long_pax_record,
    long_global_record,
    many_global_records,
    many_header_layers,
    long_sparse_map,
    content_of_a_folder,
    many_empty_files,
    many_folders,
    many_folder_members,
    deep_folder,
    long_path,
]


def write_tar(path: Path, content: bytes, squeeze: str = "xz") -> Path:
    """A tar with its end, compressed."""
    path.write_bytes(SQUEEZERS[squeeze](content + bytes(1024)))
    return path


def write_zip(path: Path, names: Iterable[str], kind: int = zipfile.ZIP_STORED) -> Path:
    """A zip of empty files."""
    with zipfile.ZipFile(path, "w", kind) as package:
        for name in names:
            package.writestr(name, b"")
    return path


def write_zip_of_zeros(path: Path, num_bytes: int, kind: int) -> Path:
    with zipfile.ZipFile(path, "w", kind) as package:
        package.writestr("a.jpg", bytes(num_bytes))
    return path


def write_zip_directory(path: Path, num_entries: int) -> Path:
    """Nothing but a table of contents, whose last record says that it has one entry."""
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 0, 20, *[0] * 15)
    table = entry * num_entries
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(table), 0, 0)
    path.write_bytes(table + end)
    return path


def xz_with_a_large_dictionary() -> bytes:
    """One byte that needs a gigabyte to unpack, if it is believed."""
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30, "mode": lzma.MODE_FAST, "mf": 3}]
    out = io.BytesIO()
    with lzma.LZMAFile(out, "w", filters=filters) as file:
        file.write(header("a") + bytes(1024))
    return out.getvalue()
