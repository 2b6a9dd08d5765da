"""A miniature of the published Q-Instruct files: same names, same layout, a few records."""

import io
import json
import random
import tarfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

LABELS = "cleaned_labels.json"
ARCHIVE = "q-instruct-images.tar"
FOLDERS = ("spaq_koniq", "livefb_liveitw_aigc")
QUESTIONS = (
    ("Is this image blurry?", ("Yes.", "No.")),
    ("How is the lighting of this image?", ("Dark.", "Bright.", "Balanced.")),
    ("Describe and evaluate the quality of the image.", ("The image is noisy and dark.",)),
)


@dataclass(frozen=True)
class Miniature:
    """Where the files are, and what is in them."""

    labels: Path
    archive: Path
    records: tuple[dict[str, object], ...]


def write_miniature(folder: Path, num_images: int = 12, seed: int = 0) -> Miniature:
    """Write `cleaned_labels.json` and `q-instruct-images.tar`; same arguments, same bytes."""
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{FOLDERS[n % 2]}/{n:05d}.jpg" for n in range(num_images)]
    with tarfile.open(folder / ARCHIVE, "w") as tar:
        for name in names:
            add_file(tar, name, jpeg(rng))
    records = tuple(record for name in names for record in _records(name, rng))
    (folder / LABELS).write_text(json.dumps(records), "utf-8")
    return Miniature(folder / LABELS, folder / ARCHIVE, records)


def jpeg(rng: random.Random, size: tuple[int, int] = (64, 48)) -> bytes:
    """A drawn photograph."""
    small = Image.new("RGB", (4, 4))
    small.putdata([tuple(rng.randbytes(3)) for _ in range(16)])
    out = io.BytesIO()
    small.resize(size, Image.Resampling.BICUBIC).save(out, "JPEG", quality=90)
    return out.getvalue()


def add_file(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a regular file to an archive."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _records(image: str, rng: random.Random) -> list[dict[str, object]]:
    """Three questions about an image; the picture stands before the question, or behind it."""
    return [
        {
            "id": f"{image}-{number}",
            "qtype": str(number),
            "type": "direct",
            "conversations": [
                {"from": "human", "value": _with_image(question, behind=rng.random() < 0.3)},
                {"from": "gpt", "value": rng.choice(answers)},
            ],
            "image": image,
        }
        for number, (question, answers) in enumerate(QUESTIONS)
    ]


def _with_image(question: str, *, behind: bool) -> str:
    return f"{question}\n<image>" if behind else f"<image>\n{question}"
