"""A set of images that is published as a list of addresses, and not as an archive.

OCR-VQA is: its `dataset.json` is one JSON object, `{id: {"imageURL": address, ...}, ...}`, of
207,572 book covers. LLaVA's instructions save each as `<id>.jpg`, whatever its address ends in and
whatever it is; of them mix665k refers to 80,000.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.contract.field_paths import source_field
from qinstruct_trainer.data.records import parse_record
from qinstruct_trainer.prep.gate import RecordFile
from qinstruct_trainer.prep.json_array import read_elements, read_members

_SUFFIX: Final = ".jpg"
_START_BYTES: Final = 512  # a tar archive has a zero byte in these, JSON has none


@dataclass(frozen=True)
class ListedImage:
    """An image by its address.

    Attributes:
        name: The file's, `<id>.jpg`.
        url: From the list: anybody's.
    """

    name: str
    url: str


def is_image_list(path: Path) -> bool:
    """Whether a fetched file is a JSON object, by its first bytes."""
    with path.open("rb") as file:
        start = file.read(_START_BYTES)
    return b"\0" not in start and start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{"


def referenced_names(labels: Iterable[RecordFile], into: str) -> frozenset[str]:
    """The names below the folder `into` that the records of label files refer to.

    Args:
        labels: Label files.
        into: Folder below the image root.

    Raises:
        DataError: a file is not a JSON array. A bad record is the gate's finding.
    """
    prefix = f"{into}/" if into else ""
    names: set[str] = set()
    for file in labels:
        for index, (_, raw) in enumerate(read_elements(file.path, file.source)):
            image = _image_of(raw, index)
            if image is not None and image.startswith(prefix):
                names.add(image.removeprefix(prefix))
    return frozenset(names)


def read_image_list(path: Path, source: str, wanted: Collection[str]) -> list[ListedImage]:
    """The images of a list that are wanted, in the order of the list.

    Args:
        path: The list.
        source: For messages.
        wanted: Names of files; what else is listed is left out.

    Raises:
        DataError: it is not a JSON object, or no list of this kind; says where.
    """
    listed: dict[str, ListedImage] = {}
    for number, (identifier, entry) in enumerate(read_members(path, source)):
        url = entry.get("imageURL") if isinstance(entry, Mapping) else None
        if not isinstance(url, str):
            raise DataError(
                f"{source}: entry {number} of the list, {identifier[:80]!r}, has no imageURL; set "
                f"{source_field(source)}.url to the data set's own dataset.json, or to an archive "
                "of the images"
            )
        name = identifier + _SUFFIX
        if name in wanted and "/" not in name:
            listed[name] = ListedImage(name, url)
    return list(listed.values())


def _image_of(raw: object, index: int) -> str | None:
    try:
        return parse_record(raw, index).image
    except DataError:
        return None
