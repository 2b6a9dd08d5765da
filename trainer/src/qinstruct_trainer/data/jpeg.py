"""JPEG files decoded by simplejpeg, where its pixels are Pillow's.

Both are libjpeg-turbo, which gives the same pixels as long as its fast modes are off. Tests prove
that for what nearly all photographs are: baseline and progressive Huffman coding in 8 bits, grey
or three colours, every subsampling. The rest is Pillow's, and so is whatever libjpeg has to say
something about: a damaged file is refused by the same words.
"""

from typing import IO, Final

import simplejpeg
from PIL import Image

_MOST_BYTES: Final = 64 << 20  # of a file that is read at once; Pillow reads on as it decodes
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROVEN_FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended, progressive; Huffman


def decode_jpeg(image: Image.Image) -> Image.Image | None:
    """The pixels of an image that Pillow has opened and not decoded yet.

    Returns:
        The image in mode RGB; None: Pillow must decode it.
    """
    file = getattr(image, "fp", None)
    if file is None or image.format != "JPEG" or image.mode not in ("RGB", "L"):
        return None
    content = _content(file)
    if content is None or _frame(content) not in _PROVEN_FRAMES:
        return None
    try:  # `strict` is the default: a warning of libjpeg is an error
        levels = simplejpeg.decode_jpeg(content, "RGB", fastdct=False, fastupsample=False)
    except ValueError:
        return None
    height, width, _ = levels.shape
    return Image.fromarray(levels) if (width, height) == image.size else None


def _content(file: IO[bytes]) -> bytes | None:
    """The whole file, unless it is too long; Pillow finds its place again."""
    place = file.tell()
    file.seek(0)
    content = file.read(_MOST_BYTES + 1)
    file.seek(place)
    return content if len(content) <= _MOST_BYTES else None


def _frame(content: bytes) -> int | None:
    """The kind of the first frame (SOF0 to SOF15), from the markers before it (ITU-T T.81, B.1)."""
    place = 2
    while content[place : place + 1] == b"\xff":
        marker = content[place + 1 : place + 2]
        if marker == b"\xff":  # a fill byte
            place += 1
            continue
        if not marker or marker[0] in _FRAMES:
            return marker[0] if marker else None
        place += 2 + max(2, int.from_bytes(content[place + 2 : place + 4], "big"))
    return None
