"""Miniatures of all published sources: true names, layouts and JSON shapes, at their addresses.

Below the folder each file stands where its address says, the scheme left out: `served` gives the
real table's addresses with another base.
"""

import io
import json
import random
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from PIL import Image

from qinstruct_operator.catalog.sources import SOURCES
from support.prep.miniature import ARCHIVE, LABELS, jpeg, write_miniature

TREE: Final = frozenset(
    {
        *("coco/train2017", "gqa/images", "ocr_vqa/images", "textvqa/train_images"),
        *("vg/VG_100K", "vg/VG_100K_2", "spaq_koniq", "livefb_liveitw_aigc"),
    }
)
"""The folders of the published tree that hold images (LLaVA's README, Q-Instruct's README)."""

LIST: Final = "ocr-vqa/dataset.json"
DEAD: Final = "0395708354"
# Source, folder in its archive, and names there; the last of each is not referred to.
_ARCHIVES: Final = {
    "coco": ("train2017", ("000000033471", "000000000009", "000000000025")),
    "gqa": ("images", ("2354786", "2331819", "1")),
    "textvqa": ("train_images", ("000000000000000a", "000000000000000b", "00001")),
    "vg-1": ("VG_100K", ("2405722", "713545", "2")),
    "vg-2": ("VG_100K_2", ("1592356", "2403087", "1")),
}
_COVERS: Final = {"140031996X": "GIF", "1437717772": "PNG", "0786884932": "JPEG", "13": "GIF"}
_SHORT: Final = "\nAnswer the question using a single word or phrase."


@dataclass(frozen=True)
class Published:
    """What is served.

    Attributes:
        num_records: Of both label files, the dead image's included.
        images: Content of every image that a record refers to, by its path in the tree.
    """

    num_records: int
    images: dict[str, bytes]


def served(base: str) -> dict[str, str]:
    """The address of each source of the table, below another base; of OCR-VQA that of its list."""
    addresses = {name: f"{base}/{_below(row.url)}" for name, row in SOURCES.items()}
    return addresses | {"ocr-vqa": f"{base}/{LIST}"}


def write_published(folder: Path, base: str) -> Published:
    """Write them all; `base` is where the folder will be served, which OCR-VQA's list names."""
    rng = random.Random(0)
    made = write_miniature(folder / "q-instruct", num_images=6)
    for name, file in (("q-instruct-labels", LABELS), ("q-instruct-images", ARCHIVE)):
        (made.labels.parent / file).rename(_place(folder, SOURCES[name].url))
    images: dict[str, bytes] = {}
    for name, (inner, stems) in _ARCHIVES.items():
        files = {f"{inner}/{stem}.jpg": jpeg(rng) for stem in stems}
        with zipfile.ZipFile(_place(folder, SOURCES[name].url), "w") as package:
            for path, content in files.items():
                package.writestr(path, content)
        images |= {f"{SOURCES[name].into}/{path}": each for path, each in list(files.items())[:-1]}
    images |= _write_covers(folder, base)
    records = [*_mix_records([*images, f"{SOURCES['ocr-vqa'].into}/{DEAD}.jpg"])]
    _place(folder, SOURCES["mix665k-labels"].url).write_text(json.dumps(records), "utf-8")
    return Published(len(made.records) + len(records), images)


def _below(url: str) -> str:
    return url.partition("://")[2]


def _place(folder: Path, url: str) -> Path:
    path = folder / _below(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _write_covers(folder: Path, base: str) -> dict[str, bytes]:
    """OCR-VQA's list and its covers, by their kinds; one address is dead, one cover not used."""
    place = folder / "images-amazon"
    place.mkdir()
    (folder / LIST).parent.mkdir()
    entries: dict[str, Any] = {}
    covers = {}
    for number, (identifier, kind) in enumerate((_COVERS | {DEAD: "JPEG"}).items()):
        file = f"{identifier}.{'jpg' if kind == 'JPEG' else kind.lower()}"
        entries[identifier] = {
            **{"imageURL": f"{base}/images-amazon/{file}", "title": "A Book", "authorName": "N."},
            **{"genre": "Travel", "questions": ["Who?"], "answers": ["N."], "split": 1},
        }
        if identifier == DEAD:
            continue
        out = io.BytesIO()
        Image.new("RGB", (30, 40), (40 * number, 90, 20)).save(out, kind)
        (place / file).write_bytes(out.getvalue())
        covers[f"{SOURCES['ocr-vqa'].into}/{identifier}.jpg"] = out.getvalue()
    (folder / LIST).write_text(json.dumps(entries), "utf-8")
    return {name: content for name, content in covers.items() if not name.endswith("/13.jpg")}


def _mix_records(images: list[str]) -> list[dict[str, Any]]:
    """LLaVA's: several rounds, ids of both kinds, and text alone with its `model`."""
    with_image = [
        {
            "id": number if number % 2 else Path(image).stem,
            "image": image,
            "conversations": [
                {"from": "human", "value": f"<image>\nWhat is it?{_SHORT}"},
                {"from": "gpt", "value": "A book"},
                {"from": "human", "value": "Is it new?"},
                {"from": "gpt", "value": "No"},
            ],
        }
        for number, image in enumerate(images)
    ]
    text = [
        {
            "id": f"abc_{number}",
            "model": "",
            "conversations": [
                {"from": "human", "value": f"Write {number} words about the sea."},
                {"from": "gpt", "value": "The sea is wide and blue. " * (number + 1)},
            ],
        }
        for number in range(9)
    ]
    return [*with_image, *text]
