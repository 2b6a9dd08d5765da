"""What a file really is, whichever reader was given it."""

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import shlex
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from PIL import Image

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.images import examine_image
from qinstruct_trainer.data.tokenizer_files import copy_tokenizer
from qinstruct_trainer.file_kinds import file_kind, kind_of
from qinstruct_trainer.json_files import read_json
from qinstruct_trainer.model.tensors import open_checkpoint
from qinstruct_trainer.prep.extract import extract
from qinstruct_trainer.prep.json_array import read_elements
from qinstruct_trainer.prep.progress import Progress


def tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"))
    return out.getvalue()


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a", "b")
    return out.getvalue()


def picture(form: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (4, 4)).save(out, form)
    return out.getvalue()


def torch_file(*, legacy: bool) -> bytes:
    out = io.BytesIO()
    torch.save({"a": torch.ones(2)}, out, _use_new_zipfile_serialization=not legacy)
    return out.getvalue()


PAGE = b"\xef\xbb\xbf \n<!DOCTYPE HTML><title>Sign in</title>"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
ERROR = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>"
RECORDS = [{"id": 1}, {"id": 2}]
LINES = b"".join(json.dumps(record).encode() + b"\n" for record in RECORDS)
KINDS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "an empty file"),
    "page": (PAGE, "an HTML page"),
    "page without a type": (b"<html><body>", "an HTML page"),
    "error": (ERROR, "an XML document, as servers send for errors"),
    "error without a head": (b"<Error><Code>NoSuchKey</Code>", "an XML document, as servers send"),
    "pointer": (POINTER, "a pointer of Git LFS"),
    "legacy torch": (torch_file(legacy=True), "a torch file in the format of before 1.6"),
    "torch": (torch_file(legacy=False), "a zip archive"),
    "pickle": (pickle.dumps([1]), "a pickle"),
    "zip": (zipped(), "a zip archive"),
    "gzip": (gzip.compress(b"a"), "a gzip file"),
    "bzip2": (bz2.compress(b"a"), "a bzip2 file"),
    "xz": (lzma.compress(b"a"), "an xz file"),
    "zstd": (b"\x28\xb5\x2f\xfd\x04\x00", "a zstd file"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\4", "a 7z archive"),
    "rar": (b"Rar!\x1a\x07\x01\0", "a rar archive"),
    "tar": (tar(), "a tar archive"),
    **{form: (picture(form), "an image") for form in ("JPEG", "PNG", "GIF", "WEBP")},
    "PDF": (b"%PDF-1.7", "a PDF"),
    "HDF5": (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    "Parquet": (b"PAR1\x15\x04", "a Parquet file"),
    "Arrow": (b"ARROW1\0\0", "an Arrow file"),
    "GGUF": (b"GGUF\3\0\0\0", "a GGUF file"),
    "safetensors": (safetensors.torch.save({"a": torch.ones(1)}), "a safetensors file"),
    "UTF-16": ("[]".encode("utf-16"), "text in UTF-16"),
    "JSON lines": (LINES, "a file of JSON lines"),
    "JSON array": (b" [1]", "a JSON array"),
    "JSON object": (b'{"a": 1}\n', "a JSON object"),
    "zeros": (bytes(600), "a file of zeros"),
}


@pytest.mark.parametrize(("content", "name"), KINDS.values(), ids=KINDS)
def test_each_kind_is_recognised(content: bytes, name: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)

    kind = file_kind(file)

    assert kind is not None
    assert kind.name.startswith(name)


@pytest.mark.parametrize("content", [b"hello", b"\x00\x01\x02", b"{", b'{"a": ', b"\xfc4\x93"])
def test_what_is_nothing_known_has_no_name(content: bytes) -> None:
    kind = kind_of(b"?" + content)
    assert kind is None


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (os.mkfifo, "a pipe"),
        (os.mkdir, "a folder"),
        (lambda path: path.symlink_to("/dev/zero"), "a device"),
        (lambda _: None, None),
    ],
)
def test_what_is_no_plain_file_is_not_waited_for(
    make: Callable[[Path], None], name: str | None, tmp_path: Path
) -> None:
    make(tmp_path / "file")
    kind = file_kind(tmp_path / "file")
    assert (kind.name if kind else None) == name


def read_labels(path: Path) -> None:
    list(read_elements(path, "labels"))


def read_archive(path: Path) -> None:
    extract(path, "x", path.parent / "out", Progress(lambda _: None, "extract", "x", "files"))


def read_config(path: Path) -> None:
    read_json(path)


def read_weights(suffix: str) -> Callable[[Path], None]:
    def read(path: Path) -> None:
        open_checkpoint(path.rename(path.with_suffix(suffix)))

    return read


def read_tokenizer(path: Path) -> None:
    path.rename(path.parent / "tokenizer.model")
    (path.parent / "out").mkdir()
    copy_tokenizer(path.parent, path.parent / "out")


def read_image(path: Path) -> None:
    examine_image(path)


READERS: dict[str, tuple[Callable[[Path], None], str]] = {
    "labels": (read_labels, "not a JSON array"),
    "archive": (read_archive, "not a tar or zip archive"),
    "config": (read_config, "not a JSON object"),
    "torch": (read_weights(".bin"), "not a torch file"),
    "safetensors": (read_weights(".safetensors"), "not a safetensors file"),
    "tokenizer": (read_tokenizer, "not a sentencepiece model"),
    "image": (read_image, "is no JPEG, PNG, GIF, BMP, WebP or TIFF image, but"),
}


@pytest.mark.parametrize("kind", ["page", "error", "pointer", "rar", "PDF"])
@pytest.mark.parametrize(("read", "expected"), READERS.values(), ids=READERS)
def test_every_reader_says_what_it_was_given(
    read: Callable[[Path], None], expected: str, kind: str, tmp_path: Path
) -> None:
    content, name = KINDS[kind]
    (tmp_path / "file").write_bytes(content)

    with pytest.raises(DataError) as caught:
        read(tmp_path / "file")

    said = str(caught.value)
    assert f"{name}" in said
    assert expected in said
    assert "damaged" not in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("read", "kind", "damage"),
    [
        (read_labels, "JSON array", "the array is not closed"),
        (read_archive, "tar", "truncated or damaged"),
        (read_archive, "zip", "truncated or damaged"),
        (read_archive, "gzip", "truncated or damaged"),
        (read_config, "JSON object", "is not JSON"),
        (read_weights(".bin"), "torch", "is not a complete torch file"),
        (read_weights(".safetensors"), "safetensors", "is not a complete safetensors file"),
        (read_image, "JPEG", "does not decode"),
    ],
)
def test_damage_of_the_right_kind_is_told_as_damage(
    read: Callable[[Path], None], kind: str, damage: str, tmp_path: Path
) -> None:
    content = KINDS[kind][0]
    half = {"tar": 700, "JSON array": 3, "JSON object": 6}.get(kind, len(content) * 2 // 3)
    (tmp_path / "file").write_bytes(content[:half])

    with pytest.raises(DataError, match=damage):
        read(tmp_path / "file")


def test_json_lines_become_labels_by_the_command_in_the_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(LINES)
    with pytest.raises(
        DataError, match="is a file of JSON lines, not a JSON array; make one array"
    ):
        read_labels(tmp_path / "file")


def test_the_command_in_the_sentence_makes_an_old_torch_file_readable(tmp_path: Path) -> None:
    file = tmp_path / "pytorch_model.bin"
    file.write_bytes(torch_file(legacy=True))
    with pytest.raises(DataError, match=r"before 1\.6; convert it: ") as caught:
        open_checkpoint(file)

    command = str(caught.value).partition("convert it: ")[2].rpartition("; use a checkpoint")[0]
    words = shlex.split(command)
    subprocess.run([sys.executable, *words[1:]], check=True)

    (tensor,) = open_checkpoint(file)
    assert torch.equal(tensor.load(), torch.ones(2))
