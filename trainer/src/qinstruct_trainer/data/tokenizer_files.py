"""The tokenizer files of a checkpoint that is not trusted: what of them a Llama's tokenizer has.

A tokenizer.json is a program: it may hold patterns that take for ever, and texts that grow. What
a Llama's consists of is known, so that anything else is refused before a library reads it.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.json_files import read_json

TOKENIZER_FILES: Final = (
    "tokenizer.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
_MAX_BYTES = 64 << 20  # Llama's tokenizer.json has 3.6 MB
_MAX_TEXT = 1000  # characters of a token
_MAX_PART = 8192  # characters of a step of the pipeline; the longest of a Llama's has some 1,000
_PARTS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
_TYPES = frozenset(
    {
        *("Sequence", "Prepend", "Replace", "Metaspace", "TemplateProcessing"),
        *("ByteFallback", "Fuse", "Strip"),
    }
)


_Text = Annotated[str, Field(min_length=1, max_length=_MAX_TEXT)]
_Number = Annotated[int, Field(ge=0, lt=1_000_000)]


class _Fields(BaseModel):
    """What is read of a file; the rest of it is left alone and goes nowhere."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)


class _Token(_Fields):
    """A special token with its options."""

    content: _Text
    lstrip: bool = False
    normalized: bool = False
    rstrip: bool = False
    single_word: bool = False
    special: bool = False
    kind: Literal["AddedToken"] = Field(default="AddedToken", alias="__type")


_AnyToken = _Text | _Token


class _SpecialTokens(_Fields):
    """special_tokens_map.json."""

    bos_token: _AnyToken | None = None
    eos_token: _AnyToken | None = None
    pad_token: _AnyToken | None = None
    unk_token: _AnyToken | None = None
    additional_special_tokens: list[_AnyToken] | None = None


class _Config(_SpecialTokens):
    """tokenizer_config.json: no code, no template, no other file."""

    add_bos_token: bool | None = None
    add_eos_token: bool | None = None
    add_prefix_space: bool | None = None
    added_tokens_decoder: dict[Annotated[str, Field(pattern=r"^[0-9]{1,6}$")], _Token] | None = None
    backend: Literal["tokenizers"] | None = None
    clean_up_tokenization_spaces: bool | None = None
    extra_special_tokens: list[_AnyToken] | dict[_Text, _AnyToken] | None = None
    is_local: bool | None = None
    legacy: bool | None = None
    local_files_only: bool | None = None
    model_max_length: Annotated[int | float, Field(ge=1, le=1e31)] | None = None
    padding_side: Literal["left", "right"] | None = None
    processor_class: _Text | None = None
    spaces_between_special_tokens: bool | None = None
    tokenizer_class: Literal["LlamaTokenizer", "LlamaTokenizerFast", "TokenizersBackend"] | None = (
        None
    )
    use_default_system_prompt: bool | None = None


class _AddedTokens(RootModel[dict[_Text, _Number]]):
    """added_tokens.json."""


_DOCUMENTS: Final[dict[str, type[BaseModel]]] = {
    "tokenizer_config.json": _Config,
    "special_tokens_map.json": _SpecialTokens,
    "added_tokens.json": _AddedTokens,
}


def copy_tokenizer(source: Path, folder: Path) -> None:
    """Copy what a tokenizer is loaded from into an empty folder, without what it must not have.

    Raises:
        DataError: a file is no Llama's.
    """
    for name in TOKENIZER_FILES:
        if not (source / name).is_file():
            continue
        if name == "tokenizer.model":
            _check_size(source / name)
            shutil.copyfile(source / name, folder / name)
            continue
        document = read_json(source / name, max_bytes=_MAX_BYTES)
        if name == "tokenizer.json":
            _check_pipeline(source / name, document)
        else:
            document = _known(source / name, document)
        (folder / name).write_text(json.dumps(document), "utf-8")


def _check_size(path: Path) -> None:
    if path.stat().st_size > _MAX_BYTES:
        raise DataError(f"{path} is larger than {_MAX_BYTES:,} bytes; use a Llama's tokenizer")


def _known(path: Path, document: dict[str, Any]) -> Any:
    """What a Llama's tokenizer has of it."""
    try:
        read = _DOCUMENTS[path.name].model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0])
        raise _not_llama(path, f"its {field!r:.80} is {document[field]!r:.80}") from error
    return read.model_dump(by_alias=True, exclude_unset=True)


def _check_pipeline(path: Path, document: dict[str, Any]) -> None:
    model = document.get("model")
    if not isinstance(model, dict) or model.get("type", "BPE") != "BPE":
        raise _not_llama(path, "its model is not a BPE")
    for name in _PARTS:
        part = document.get(name)
        if (length := len(json.dumps(part))) > _MAX_PART:
            raise _not_llama(path, f"its {name} has {length:,} characters")
        for step in _objects(part):
            _check_step(path, name, step)
    tokens = document.get("added_tokens", [])
    if not isinstance(tokens, list) or not all(map(_is_token, tokens)):
        raise _not_llama(path, "an added token has no text, or no usual number")


def _check_step(path: Path, name: str, step: dict[str, Any]) -> None:
    kind = step.get("type")
    if "type" in step and (not isinstance(kind, str) or kind not in _TYPES):
        raise _not_llama(path, f"its {name} has a {kind!r:.80}")
    if "Regex" in step:
        raise _not_llama(path, f"its {name} has the pattern {step['Regex']!r:.80}")
    if kind == "Replace" and _grows(step):
        raise _not_llama(path, f"its {name} puts a longer text in place of another")


def _grows(replace: dict[str, Any]) -> bool:
    """Whether a few such steps, one after the other, make a text of any length from a short one."""
    pattern, content = replace.get("pattern"), replace.get("content")
    text = pattern.get("String") if isinstance(pattern, dict) else None
    is_known = isinstance(text, str) and isinstance(content, str)
    return not is_known or len(str(content)) > len(str(text)) or not text


def _objects(value: object) -> Iterator[dict[str, Any]]:
    """Every object in a value."""
    rest = [value]
    while rest:
        part = rest.pop()
        if isinstance(part, dict):
            yield part
            rest += part.values()
        elif isinstance(part, list):
            rest += part


def _is_token(token: object) -> bool:
    if not isinstance(token, dict):
        return False
    number, text = token.get("id"), token.get("content")
    is_number = isinstance(number, int) and 0 <= number < 1_000_000
    return is_number and isinstance(text, str) and 0 < len(text) <= _MAX_TEXT


def _not_llama(path: Path, reason: str) -> DataError:
    return DataError(
        f"{path} is not of a Llama tokenizer: {reason}; use a checkpoint of the LLaVA-v1.5 or "
        "Vicuna-v1.5 family"
    )
