import io
import lzma
import random

import pytest

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.prep.unpacked_stream import UnpackedStream
from support.prep.archive_bombs import SQUEEZERS

CONTENT = random.Random(0).randbytes(50_000) + bytes(3_000_000)


def read_all(packed: bytes, max_bytes: int = 10_000_000, size: int = 10_000) -> bytes:
    stream = UnpackedStream(io.BytesIO(packed), max_bytes, DataError)
    parts = []
    while part := stream.read(size):
        assert len(part) <= size
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("squeeze", SQUEEZERS.values(), ids=SQUEEZERS)
@pytest.mark.parametrize("size", [777, 1 << 20])
def test_the_content_comes_whole_in_parts_of_the_asked_size(squeeze: object, size: int) -> None:
    assert callable(squeeze)
    assert read_all(squeeze(CONTENT), size=size) == CONTENT


@pytest.mark.parametrize("name", [name for name in SQUEEZERS if name not in ("tar", "lzma")])
def test_several_compressed_files_are_one_also_with_zeros_behind(name: str) -> None:
    squeeze = SQUEEZERS[name]
    assert read_all(squeeze(b"one") + squeeze(b"two") + bytes(8)) == b"onetwo"


@pytest.mark.parametrize("squeeze", SQUEEZERS.values(), ids=SQUEEZERS)
def test_content_that_is_longer_than_it_may_be_is_refused(squeeze: object) -> None:
    assert callable(squeeze)
    packed = squeeze(CONTENT)
    with pytest.raises(DataError, match="more bytes than"):
        read_all(packed, max_bytes=len(CONTENT) - 1)
    assert read_all(packed, max_bytes=len(CONTENT)) == CONTENT


@pytest.mark.parametrize("name", [name for name in SQUEEZERS if name != "tar"])
def test_a_file_that_ends_too_early_is_an_error(name: str) -> None:
    with pytest.raises(EOFError, match="too early"):
        read_all(SQUEEZERS[name](CONTENT)[:-20])


def test_more_memory_than_any_usual_file_needs_is_not_given() -> None:
    usual = lzma.compress(b"x", preset=9 | lzma.PRESET_EXTREME)
    assert read_all(usual) == b"x"
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 256 << 20, "mode": lzma.MODE_FAST, "mf": 3}]
    with pytest.raises(lzma.LZMAError, match=r"[Mm]emory"):
        read_all(lzma.compress(b"x", filters=filters))
