"""The files of an index, and meta.json, which describes them.

    meta.json       version, counts, sizes; written last, so a folder with it is complete
    tokens.bin      ids of all records, an image as one placeholder; uint16 or uint32
    records.bin     per record: ends of its tokens, spans, and image number, lengths (see below)
    spans.bin       [start, end) of what is learnt, in stored tokens of the record
    images.bin      per distinct image: folder number and end of its path
    paths.bin       relative paths, UTF-8, one after the other

All numbers are little-endian.
"""

from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qinstruct_trainer.contract.errors import DataError

INDEX_VERSION = 1
META = "meta.json"
RECORD = np.dtype(
    [
        ("tokens_end", "<i8"),  # of this record's tokens in tokens.bin; the one before is the start
        ("spans_end", "<i8"),
        ("image", "<i4"),  # number in images.bin, -1: text-only
        ("length", "<i4"),  # tokens with the image expanded
        ("modality_length", "<i4"),  # words, positive with an image, negative without
    ]
)
IMAGE = np.dtype([("path_end", "<i8"), ("root", "<i4")])
FILES = ("tokens.bin", "records.bin", "spans.bin", "images.bin", "paths.bin")


class IndexMeta(BaseModel):
    """meta.json: what is needed to read the files, and to know that they are whole."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int
    image_token_id: int = Field(ge=0)
    num_image_tokens: int = Field(ge=1)
    pad_token_id: int = Field(ge=0)
    max_length: int = Field(ge=1)
    roots: tuple[str, ...]
    num_records: int = Field(ge=0)
    num_unsupervised: int = Field(ge=0, description="Records without a single learnt token.")
    num_tokens: int = Field(ge=0, description="Of all records, images expanded.")
    token_bytes: int = Field(ge=2, le=4)
    sizes: dict[str, int]


def read_meta(folder: Path) -> IndexMeta:
    """Read and check meta.json.

    Raises:
        DataError: it is missing, damaged or of another version.
    """
    path = folder / META
    try:
        meta = IndexMeta.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise DataError(f"{folder} has no complete index ({META} is missing); run prep") from error
    except (OSError, ValidationError) as error:
        raise DataError(f"{path} is damaged; remove its folder and run prep again") from error
    expected_records = meta.num_records * RECORD.itemsize
    if meta.version != INDEX_VERSION or set(meta.sizes) != set(FILES):
        raise DataError(
            f"{path} is of version {meta.version}, this trainer reads {INDEX_VERSION}; "
            "run prep again"
        )
    if meta.sizes["records.bin"] != expected_records:
        raise DataError(f"{path} contradicts itself; remove its folder and run prep again")
    return meta
