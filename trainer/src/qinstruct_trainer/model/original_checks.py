"""Can a model be written in the original's layout, to there? Asked before torch is imported."""

import errno
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from qinstruct_trainer.contract import output_files
from qinstruct_trainer.contract.errors import ConfigError, DataError, StorageError
from qinstruct_trainer.json_files import read_json
from qinstruct_trainer.model.config_fields import ClipFields, is_hub_layout, read_hub_fields
from qinstruct_trainer.model.weight_files import weight_bytes, weight_files
from qinstruct_trainer.storage_errors import DiskFailure, file_sentence, storage_errors

CONFIG: Final = "config.json"
TOKENIZER: Final = "tokenizer.model"
_TOWER: Final = "vision_tower."  # in a tensor's name in the hub layout
# LLaVA's own code (llava/model/multimodal_encoder/builder.py) loads no other name than of these.
_OWNERS: Final = ("openai/", "laion/")
_PUBLISHER: Final = "ShareGPT4V"
_NAME: Final = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}"
_REPOSITORY: Final = re.compile(f"({_NAME}/)?{_NAME}")
_SHOWN: Final = 80  # characters of a name
_Clip = Mapping[str, Any]
# What decides which weights fit, and into how many tokens an image goes; as transformers has them.
_DEFAULTS: Final[_Clip] = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "image_size": 224,
    "patch_size": 32,
}
_PUBLISHED: Final[Mapping[str, _Clip]] = {
    "openai/clip-vit-base-patch32": {},
    "openai/clip-vit-base-patch16": {"patch_size": 16},
    "openai/clip-vit-large-patch14": {
        **{"hidden_size": 1024, "num_hidden_layers": 24, "patch_size": 14}
    },
    "openai/clip-vit-large-patch14-336": {
        **{"hidden_size": 1024, "num_hidden_layers": 24, "patch_size": 14, "image_size": 336}
    },
}

TINY: Final[_Clip] = {
    "hidden_size": 224,
    "num_hidden_layers": 3,
    "image_size": 112,
    "patch_size": 14,
}
"""The tower of the builtin model, which is made and not fetched."""
_OF_TINY: Final = (
    "size Tiny's is built in, no folder or repository has it, and LLaVA's own code cannot load the "
    "model without; convert one of size 7B or 13B"
)


def check_request(source: Path, folder: Path, *, vision_tower: str, with_tower: bool) -> None:
    """Refuse what cannot come to an end.

    Args:
        source: The model.
        folder: Where it shall be written.
        vision_tower: What config.json will name as CLIP.
        with_tower: Whether CLIP's weights are written too.

    Raises:
        ConfigError: an argument is none, or contradicts another.
        DataError: the model is no LLaVA-v1.5 in the hub layout, or its files are incomplete.
        StorageError: the folder cannot be made, or has no room.
    """
    with storage_errors(str(source), file_sentence):
        for path in (source, folder, partial_of(folder)):
            _check_length(path)
        if not source.is_dir():
            what = "is no folder" if source.exists() else "is not there"
            raise ConfigError(f"{source} {what}; give a finished model's folder")
        check_place(source, folder)
        document = read_model(source)
        _check_tower(vision_tower, read_hub_fields(document, f"model {source}")[2])
        without = None if with_tower else _TOWER
        _check_room(folder, sum(weight_bytes(file, without) for file in weight_files(source)))


def partial_of(folder: Path) -> Path:
    """Where the folder is written until it is whole."""
    return folder.with_name(f".{folder.name}.partial")


def check_place(source: Path, folder: Path) -> None:
    """Refuse a folder that is there, or in the model.

    Raises:
        ConfigError: it is.
    """
    if os.path.lexists(folder):
        raise ConfigError(f"{folder} is there already; name a new folder")
    if folder.resolve().is_relative_to(source.resolve()):
        raise ConfigError(f"{folder} lies in the model {source}; name a folder outside of it")


def read_model(source: Path) -> dict[str, Any]:
    """The config.json of a model that can be written in the original's layout.

    Raises:
        DataError: it is of another layout, or lacks the tokenizer that the original reads.
    """
    inside = source / output_files.MODEL
    if not (source / CONFIG).exists() and (inside / CONFIG).is_file():
        raise DataError(f"{source} is the folder of a run; give its model, {inside}")
    document = read_json(source / CONFIG)
    if not is_hub_layout(document):
        raise DataError(
            f"{source} is not in the Hugging Face layout; give a finished model's folder"
        )
    if not (source / TOKENIZER).is_file():
        raise DataError(
            f"{source} has no {TOKENIZER}, the only tokenizer that the original LLaVA reads; "
            "copy the one of the checkpoint that the training started from"
        )
    return document


def _check_length(path: Path) -> None:
    if _is_too_long(path):
        raise ConfigError(
            f"{path!s:.{_SHOWN}}... has a name that is too long for its file system; "
            "give a shorter one"
        )


def _is_too_long(path: Path) -> bool:
    try:
        path.lstat()
    except OSError as error:
        return error.errno == errno.ENAMETOOLONG
    return False


def _check_tower(name: str, ours: ClipFields) -> None:
    if not name.strip():
        raise ConfigError("--vision-tower is empty; name CLIP's folder or repository")
    theirs = _tower(name)
    if theirs is None:
        return  # a repository that is not known here
    own = {**_DEFAULTS, **ours.given()}
    for field, default in _DEFAULTS.items():
        if own[field] != theirs.get(field, default):
            raise ConfigError(
                f"--vision-tower {name} has {field} {theirs.get(field, default)}, and the model "
                f"was made with a tower of {field} {own[field]}; "
                f"{_OF_TINY if own.items() >= TINY.items() else 'name that tower'}"
            )


def _tower(name: str) -> _Clip | None:
    """What a tower's configuration says; None of one that nobody here knows."""
    folder = Path(name)
    if _is_too_long(folder):
        raise _no_tower(name)
    if name in _PUBLISHED and not folder.exists():
        return _PUBLISHED[name]
    if folder.is_dir():
        document = read_json(folder / CONFIG)
        if document.get("model_type") not in ("clip", "clip_vision_model"):
            raise ConfigError(
                f"--vision-tower {name} has a {CONFIG} of model_type "
                f"{document.get('model_type')!r:.80}, and a tower is clip; name CLIP's folder"
            )
        weight_files(folder)
        vision = document.get("vision_config", document)
        return ClipFields.read(vision, "vision tower").given()
    if folder.exists():
        raise ConfigError(f"--vision-tower {name} is no folder; name CLIP's folder or repository")
    if _REPOSITORY.fullmatch(name) and (name.startswith(_OWNERS) or _PUBLISHER in name):
        return None
    raise _no_tower(name)


def _no_tower(name: str) -> ConfigError:
    shown = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}..."
    return ConfigError(
        f"--vision-tower {shown} is no folder here, and LLaVA's own code loads repositories "
        f"of {' and '.join(_OWNERS)} alone; name one of those, or fetch CLIP and name its folder"
    )


def _check_room(folder: Path, needed: int) -> None:
    above = next(place for place in folder.absolute().parents if os.path.lexists(place))
    if not above.is_dir():
        raise ConfigError(f"{folder} cannot be made, because {above} is no folder; name another")
    if not os.access(above, os.W_OK | os.X_OK, effective_ids=True):
        number = errno.EROFS if os.statvfs(above).f_flag & os.ST_RDONLY else errno.EACCES
        failure = DiskFailure(is_full=False, reason=os.strerror(number), number=number)
        raise StorageError(file_sentence(str(above), failure))
    free = shutil.disk_usage(above).free
    if free < needed:
        raise StorageError(
            f"{above} has {free:,} bytes free and the model needs {needed:,}; free space or name "
            "a folder on another volume"
        )
