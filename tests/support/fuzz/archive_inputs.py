"""Archives that are nearly right: tar and zip with odd members, and with odd fields in headers."""

import io
import struct
import warnings
import zipfile
from typing import Final

from hypothesis import strategies as st

from support.fuzz.byte_inputs import damaged
from support.prep.archive_bombs import SQUEEZERS, blocks, header

_NAMES: Final = (
    *("a.jpg", "b/c.png", "q-instruct-images/a.jpg", "a.jpg/b", "d/", "./e.jpg", "", ".", ".."),
    *("../x", "/etc/passwd", "a/../../x", "b\\c", "a\nb", "\x1b[2J", "\udcff", "\u202e.gpj"),
    *("n" * 256, "x/" * 40 + "y", "q-instruct-images", "a" * 99),
)
_TEXTS: Final = (
    b"",
    b"0",
    b"-1",
    b"7777777",
    b"99999999999999999999",
    b"\xff" * 12,
    b"\x80",
    b"a b",
)
_NUMBERS: Final = (0, 1, 8, 12, 14, 99, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
_KINDS: Final = tuple(bytes([each]) for each in b"01234567KLxXgSDVNM\0\xff")
_RECORDS: Final = (
    *("path", "size", "linkpath", "mtime", "uid", "hdrcharset", "charset", "comment"),
    *("GNU.sparse.map", "GNU.sparse.size", "GNU.sparse.realsize", "GNU.sparse.major"),
    *("GNU.sparse.minor", "GNU.sparse.name", "GNU.sparse.numblocks", "SCHILY.xattr.a"),
)
_VALUES: Final = (
    *("a.jpg", "../x", "0", "1", "-1", "0,1,2", "9" * 30, "1e9", "\0", "BINARY", "x" * 400, "\n"),
    *("ISO-IR 10646 2000 UTF-8", "NaN"),
)
# Of a tar's header: where a field begins, and its length.
_TAR_FIELDS: Final = (
    *((0, 100), (100, 8), (108, 8), (116, 8), (124, 12), (136, 12), (156, 1), (157, 100)),
    *((257, 6), (263, 2), (329, 8), (345, 155), (482, 1), (386, 24)),
)
_ZIP_FIELDS: Final = {
    b"PK\3\4": ((4, 2), (6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)),
    b"PK\1\2": (
        *((4, 2), (6, 2), (8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2)),
        *((34, 2), (38, 4), (42, 4)),
    ),
    b"PK\5\6": ((4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)),
}
_CONTENTS: Final = (b"", b"JPEG" * 20, bytes(600), b"PK\3\4PK\1\2PK\5\6")


def archives() -> st.SearchStrategy[bytes]:
    """Any of the kinds that can be unpacked."""
    return st.one_of(_tars(), _zips())


@st.composite
def _tars(draw: st.DrawFn) -> bytes:
    parts = [draw(_members()) for _ in range(draw(st.integers(0, 5)))]
    content = bytearray(b"".join(parts))
    for _ in range(draw(st.integers(0, 3)) if content else 0):
        at = 512 * draw(st.integers(0, len(content) // 512 - 1))
        _set_tar_field(draw, content, at)
    end = draw(st.sampled_from([1024, 1024, 1024, 512, 0, 700]))
    squeezed = SQUEEZERS[draw(st.sampled_from(sorted(SQUEEZERS)))](bytes(content) + bytes(end))
    return draw(damaged(squeezed)) if draw(st.integers(0, 4)) == 0 else squeezed


@st.composite
def _members(draw: st.DrawFn) -> bytes:
    """A member with what may stand before it."""
    before = b""
    if draw(st.integers(0, 2)) == 0:
        kind = draw(st.sampled_from([b"L", b"K", b"x", b"g", b"X"]))
        held = draw(_names()) if kind in b"LK" else draw(_pax_records())
        before = header("././@LongLink", len(held), kind) + blocks(held)
    name = draw(_names()).decode("utf-8", "surrogateescape").rstrip("\0")[:99]
    content = draw(st.sampled_from(_CONTENTS))
    kind = draw(st.sampled_from([b"0", b"0", b"0", b"5", *_KINDS]))
    return before + header(name, len(content), kind) + blocks(content)


@st.composite
def _names(draw: st.DrawFn) -> bytes:
    name = draw(st.sampled_from(_NAMES)) + draw(st.sampled_from(["", "", "x", "/y.png"]))
    return name.encode("utf-8", "surrogateescape") + draw(st.sampled_from([b"", b"\0"]))


@st.composite
def _pax_records(draw: st.DrawFn) -> bytes:
    records = b""
    for _ in range(draw(st.integers(0, 4))):
        name, value = draw(st.sampled_from(_RECORDS)), draw(st.sampled_from(_VALUES))
        record = f" {name}={value}\n".encode()
        length = len(record) + 2 if len(record) < 97 else len(record) + 3
        length += draw(st.sampled_from([0, 0, 0, 0, 1, -5, 500, -length]))
        records += str(length).encode() + record
    return records


def _set_tar_field(draw: st.DrawFn, content: bytearray, at: int) -> None:
    begin, length = draw(st.sampled_from(_TAR_FIELDS))
    value = draw(st.sampled_from((*_TEXTS, *_KINDS)) | st.binary(max_size=12))[:length]
    content[at + begin : at + begin + length] = value.ljust(length, b"\0")
    if draw(st.integers(0, 5)):  # else the checksum is wrong
        content[at + 148 : at + 156] = b" " * 8
        content[at + 148 : at + 156] = f"{sum(content[at : at + 512]):06o}\0 ".encode()


@st.composite
def _zips(draw: st.DrawFn) -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as package:
        warnings.simplefilter("ignore")  # of the same name twice
        for _ in range(draw(st.integers(0, 4))):
            name = draw(st.sampled_from(_NAMES)).encode("utf-8", "replace").decode()
            info = zipfile.ZipInfo()
            info.filename = name + draw(st.sampled_from(["", "/", "x"]))
            info.external_attr = draw(st.sampled_from([0, 0o100644, 0o120777, 0o40755])) << 16
            info.compress_type = draw(st.sampled_from([0, 8, 8, 12]))
            info.extra = draw(st.sampled_from([b"", _zip64(), b"\1\0", struct.pack("<HH", 1, 99)]))
            package.writestr(info, draw(st.sampled_from(_CONTENTS)))
    content = bytearray(draw(st.sampled_from([b"", b"MZ junk"])) + out.getvalue())
    for _ in range(draw(st.integers(0, 3))):
        _set_zip_field(draw, content)
    whole = bytes(content)
    return draw(damaged(whole)) if draw(st.integers(0, 4)) == 0 else whole


def _zip64() -> bytes:
    return struct.pack("<HHQQQ", 1, 24, 1 << 40, 1 << 63, 1 << 62)


def _set_zip_field(draw: st.DrawFn, content: bytearray) -> None:
    magic = draw(st.sampled_from(sorted(_ZIP_FIELDS)))
    at = content.find(magic) if draw(st.booleans()) else content.rfind(magic)
    begin, length = draw(st.sampled_from(_ZIP_FIELDS[magic]))
    if at < 0 or at + begin + length > len(content):
        return
    number = draw(st.sampled_from(_NUMBERS)) & (256**length - 1)
    content[at + begin : at + begin + length] = number.to_bytes(length, "little")
