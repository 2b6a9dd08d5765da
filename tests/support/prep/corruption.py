"""A small data set, and the ways in which its labels, its archive or an image of it are wrong.

Each function changes a `Bundle` in one way. `write` then makes of it the two files that prep reads.
"""

import gzip
import io
import json
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from qinstruct_trainer.contract.config import Source
from support.prep.miniature import add_file

PAGE = b"<!DOCTYPE html><html><title>404</title></html>"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
NAMES = ("a/1.jpg", "a/2.jpg", "b/3.jpg")
VICTIM = NAMES[1]


def picture(kind: str = "JPEG", mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> bytes:
    """An image file with some noise in it."""
    noise = Image.effect_noise(size, 40).convert("I;16" if mode == "I;16" else mode)
    out = io.BytesIO()
    noise.save(out, kind)
    return out.getvalue()


def record(name: str | None, question: str = "<image>\nIs it sharp?", **fields: Any) -> Any:
    """Of an image, or of none; with other fields."""
    turns = [{"from": "human", "value": question}, {"from": "gpt", "value": "Yes."}]
    named = {} if name is None else {"image": name}
    return {"id": f"of {name}", "conversations": turns} | named | fields


@dataclass
class Bundle:
    """What the two files will hold.

    Attributes:
        labels, archive: The bytes of a file, where it is not made of records or images.
    """

    records: list[Any] = field(default_factory=lambda: [record(name) for name in NAMES])
    images: dict[str, bytes] = field(default_factory=lambda: {name: picture() for name in NAMES})
    labels: bytes | None = None
    archive: bytes | None = None

    def text(self) -> str:
        """The label file as it should be."""
        return json.dumps(self.records)

    def packed(self, mode: str = "w") -> bytes:
        """The archive as it should be."""
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode=mode) as tar:  # type: ignore[call-overload]
            for name, content in self.images.items():
                add_file(tar, name, content)
        return out.getvalue()

    def zipped(self) -> bytes:
        """The same as a zip."""
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as package:
            for name, content in self.images.items():
                package.writestr(name, content)
        return out.getvalue()

    def write(self, folder: Path) -> tuple[Source, Source]:
        """Label file and archive, as sources `labels` and `images`."""
        folder.mkdir()
        files = {
            "labels": self.text().encode() if self.labels is None else self.labels,
            "images": self.packed() if self.archive is None else self.archive,
        }
        for name, content in files.items():
            (folder / name).write_bytes(content)
        labels, images = ((folder / name).as_uri() for name in files)
        return (
            Source(name="labels", kind="labels", url=labels),
            Source(name="images", kind="images", url=images),
        )


Change = Callable[[Bundle], None]


def image_is(content: bytes) -> Change:
    """One of the images is this, whatever its name says."""

    def change(bundle: Bundle) -> None:
        bundle.images[VICTIM] = content

    return change


def png_that_says(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header promises so many pixels."""
    chunks = (
        (b"IHDR", struct.pack(">2L5B", width, height, 1, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(64))),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def archive_is(content: bytes) -> Change:
    """The archive is something else."""

    def change(bundle: Bundle) -> None:
        bundle.archive = content

    return change


def archive_by(make: Callable[[Bundle], bytes]) -> Change:
    """The archive is made of the right one."""

    def change(bundle: Bundle) -> None:
        bundle.archive = make(bundle)

    return change


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> Change:
    """The archive ends with another member."""

    def make(bundle: Bundle) -> bytes:
        out = io.BytesIO(bundle.packed())
        with tarfile.open(fileobj=out, mode="a") as tar:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            tar.addfile(info)
        return out.getvalue()

    return archive_by(make)


def concatenated(bundle: Bundle) -> bytes:
    first, *rest = bundle.images.items()
    return Bundle(images=dict([first])).packed() + Bundle(images=dict(rest)).packed()


def below(folder: str) -> Change:
    """Everything in the archive is below another folder."""

    def change(bundle: Bundle) -> None:
        bundle.images = {f"{folder}/{name}": each for name, each in bundle.images.items()}

    return change


def twice(bundle: Bundle) -> bytes:
    """A member comes again, with the content that counts: `tar -r` appends like this."""
    right = bundle.images[VICTIM]
    out = io.BytesIO(Bundle(images=bundle.images | {VICTIM: b"the old one"}).packed())
    with tarfile.open(fileobj=out, mode="a") as tar:
        add_file(tar, VICTIM, right)
    return out.getvalue()


def bomb_in_zip(bundle: Bundle) -> bytes:
    return Bundle(images=bundle.images | {"bomb.jpg": bytes(100 << 20)}).zipped()


def encrypted(bundle: Bundle) -> bytes:
    content = bytearray(bundle.zipped())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    return bytes(content)


def link_in_zip(bundle: Bundle) -> bytes:
    out = io.BytesIO(bundle.zipped())
    with zipfile.ZipFile(out, "a") as package:
        link = zipfile.ZipInfo("b/link.jpg")
        link.external_attr = 0o120777 << 16
        package.writestr(link, "/etc/passwd")
    return out.getvalue()


def labels_by(make: Callable[[Bundle], bytes | str]) -> Change:
    """The label file is made of the right one."""

    def change(bundle: Bundle) -> None:
        made = make(bundle)
        bundle.labels = made.encode() if isinstance(made, str) else made

    return change


def last_record(value: Any) -> Change:
    """The last record is this value."""

    def change(bundle: Bundle) -> None:
        bundle.records[-1] = value

    return change


def last_text(text: str) -> Change:
    """The last record is this text."""
    return labels_by(lambda bundle: f"{bundle.text()[:-1]}, {text}]")


def renamed(change: Callable[[str], str]) -> Change:
    """The archive has the victim under another name."""

    def rename(bundle: Bundle) -> None:
        bundle.images[change(VICTIM)] = bundle.images.pop(VICTIM)

    return rename


def in_nfd(bundle: Bundle) -> None:
    """The label has the name as Linux writes it, the archive as a Mac does."""
    name = "a/\u00fcber.jpg"
    bundle.records[1] = record(name)
    bundle.images[unicodedata.normalize("NFD", name)] = bundle.images.pop(VICTIM)


def missing(bundle: Bundle) -> None:
    del bundle.images[VICTIM]


def json_lines(bundle: Bundle) -> str:
    return "".join(f"{json.dumps(each)}\n" for each in bundle.records)


def gzipped(bundle: Bundle) -> bytes:
    return gzip.compress(bundle.text().encode())
