"""Which files of a checkpoint hold its weights, and what the safetensors say of themselves.

Torch-free, so that a checkpoint that is not whole is refused before torch is imported.
"""

from math import prod
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, ValidationError
from safetensors import SafetensorError, safe_open

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.file_kinds import instead
from qinstruct_trainer.json_files import read_json

MAX_NAME: Final = 255  # characters, of a tensor or a file
_MAX_INDEX_BYTES: Final = 16 << 20  # of the published models it has 100 KB
_WEIGHT_FILES: Final = ("model.safetensors", "pytorch_model.bin", "mm_projector.bin")
_ITEM_BYTES: Final = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8}


class _ShardIndex(BaseModel):
    """`model.safetensors.index.json` and `pytorch_model.bin.index.json`."""

    weight_map: dict[str, Annotated[str, Field(max_length=MAX_NAME)]]


def weight_files(source: Path) -> list[Path]:
    """The weight files of a checkpoint's folder, all of them there; of one weight file itself.

    A folder's safetensors win over its torch files, as in transformers.

    Raises:
        DataError: there are none, or a shard is missing.
    """
    if source.is_file():
        return [source]
    for name in _WEIGHT_FILES:
        if (source / name).is_file():
            return [source / name]
        if (source / f"{name}.index.json").is_file():
            return _shards(source / f"{name}.index.json")
    raise DataError(
        f"{source} has no weights; expected one of {', '.join(_WEIGHT_FILES)}, "
        "or the first two in shards with an index.json"
    )


def open_safetensors(path: Path, framework: str) -> Any:
    """The library's handle of a safetensors file; only the head of it has been read.

    Args:
        path: The file.
        framework: What its tensors become when they are read: "pt", or "np" without torch.

    Raises:
        DataError: it is none, or not whole.
    """
    try:
        return safe_open(path, framework=framework)
    except (SafetensorError, OSError) as error:
        otherwise = f"is not a complete safetensors file ({error!s:.200})"
        what = instead(path, "a safetensors file", otherwise)
        raise DataError(f"{path} {what}; fetch it again") from error


def weight_bytes(path: Path, without: str | None = None) -> int:
    """Bytes of a file's weights; of a torch file, which is not opened, its size.

    Args:
        path: A weight file.
        without: What is in the names of tensors that do not count; of a torch file all do.

    Raises:
        DataError: a safetensors file is not whole.
    """
    if path.suffix != ".safetensors":
        return path.stat().st_size
    handle = open_safetensors(path, "np")
    parts = (
        handle.get_slice(name)
        for name in handle.keys()  # noqa: SIM118 - the handle is no mapping
        if without is None or without not in name
    )
    return sum(prod(part.get_shape()) * _ITEM_BYTES.get(part.get_dtype(), 0) for part in parts)


def _shards(index: Path) -> list[Path]:
    """The files that an index names, each of them beside it and present."""
    try:
        content = _ShardIndex.model_validate(read_json(index, max_bytes=_MAX_INDEX_BYTES))
        names = sorted(set(content.weight_map.values()))
    except ValidationError as error:
        raise DataError(
            f"{index} is not the index of a sharded checkpoint; fetch the checkpoint again"
        ) from error
    for name in names:
        if Path(name).name != name:
            raise DataError(f"{index} names the shard {name!r}, which is no plain file name")
        if not (index.parent / name).is_file():
            raise DataError(
                f"{index.parent} lacks the shard {name} that {index.name} names; "
                "the download is incomplete, fetch the checkpoint again"
            )
    return [index.parent / name for name in names]
