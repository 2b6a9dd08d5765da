"""What an image file is, with a small picture of it."""

import io
from pathlib import Path

import pytest
from PIL import Image

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.images import look_at


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "CMYK", "I;16", "1"])
def test_size_format_and_a_thumbnail(mode: str, tmp_path: Path) -> None:
    name = "image.tif" if mode in ("CMYK", "I;16") else "image.png"
    Image.new(mode, (800, 200)).save(tmp_path / name)
    found = look_at(tmp_path / name, with_thumbnail=True)
    assert (found.width, found.height) == (800, 200)
    assert found.format == ("TIFF" if name.endswith("tif") else "PNG")
    assert Image.open(io.BytesIO(found.thumbnail)).size == (320, 80)


def test_of_a_cut_image_the_size_is_known_and_the_thumbnail_is_not(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    Image.effect_noise((400, 300), 50).save(path)
    path.write_bytes(path.read_bytes()[:-2000])
    assert look_at(path, with_thumbnail=False).thumbnail == b""
    with pytest.raises(DataError, match="does not decode"):
        look_at(path, with_thumbnail=True)
