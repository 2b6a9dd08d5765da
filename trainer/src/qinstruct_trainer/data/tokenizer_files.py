"""The tokenizer files of a checkpoint that is not trusted: what of them a Llama's tokenizer has.

A tokenizer.json is a program: it may hold patterns that take for ever, and texts that grow. What
a Llama's consists of is known, so that anything else is refused before a library reads it.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.file_kinds import instead
from qinstruct_trainer.json_files import read_json

TOKENIZER_FILES: Final = (
    "tokenizer.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
_MAX_BYTES = 64 << 20  # Llama's tokenizer.json has 3.6 MB
_MAX_MODEL_BYTES = 8 << 20  # Llama's tokenizer.model has 500 KB
_MAX_TEXT = 1000  # characters of a token
_MAX_PIECE = 128  # characters; what a piece is made of is looked for at each of them
_MAX_ADDED = 1000  # tokens beside the vocabulary, each of which is looked for in every text
_MAX_PART = 8192  # characters of a step of the pipeline; the longest of a Llama's has some 1,000
_ROLES = ("bos_token", "eos_token", "pad_token", "unk_token")
_PARTS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
# Which merges are left out at random, and what makes other tokens of the same texts.
_NOT_IN_A_LLAMAS = ("dropout", "continuing_subword_prefix", "end_of_word_suffix")
_TYPES = frozenset(
    {
        *("Sequence", "Prepend", "Replace", "Metaspace", "TemplateProcessing"),
        *("ByteFallback", "Fuse", "Strip"),
    }
)


_Tokens = TypeVar("_Tokens")
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
_Some = Annotated[_Tokens, Field(max_length=_MAX_ADDED)]


class _SpecialTokens(_Fields):
    """special_tokens_map.json."""

    bos_token: _AnyToken | None = None
    eos_token: _AnyToken | None = None
    pad_token: _AnyToken | None = None
    unk_token: _AnyToken | None = None
    additional_special_tokens: _Some[list[_AnyToken]] | None = None


class _Config(_SpecialTokens):
    """tokenizer_config.json: no code, no template, no other file."""

    add_bos_token: bool | None = None
    add_eos_token: bool | None = None
    add_prefix_space: bool | None = None
    added_tokens_decoder: (
        _Some[dict[Annotated[str, Field(pattern=r"^[0-9]{1,6}$")], _Token]] | None
    ) = None
    backend: Literal["tokenizers"] | None = None
    clean_up_tokenization_spaces: bool | None = None
    extra_special_tokens: _Some[list[_AnyToken] | dict[_Text, _AnyToken]] | None = None
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


class _AddedTokens(RootModel[_Some[dict[_Text, _Number]]]):
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
            _check_pieces(source / name)
            shutil.copyfile(source / name, folder / name)
            continue
        document = read_json(source / name, max_bytes=_MAX_BYTES)
        if name == "tokenizer.json":
            _check_pipeline(source / name, document)
        else:
            document = _known(source / name, document)
        (folder / name).write_text(json.dumps(document), "utf-8")


def read_tokenizer_files(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Of a checkpoint that prep wrote: its tokenizer.json, and its special tokens by their roles.

    Raises:
        DataError: a file is missing, or no Llama's.
    """
    path = folder / "tokenizer.json"
    pipeline = read_json(path, max_bytes=_MAX_BYTES)
    _check_pipeline(path, pipeline)
    path = folder / "tokenizer_config.json"
    named = _known(path, read_json(path, max_bytes=_MAX_BYTES))
    tokens = {role: named.get(role) for role in _ROLES}
    return pipeline, {
        role: token if isinstance(token, str) else token["content"]
        for role, token in tokens.items()
        if token is not None
    }


def _check_pieces(path: Path) -> None:
    """Of a sentencepiece model: the library tries each way to make each piece of two others."""
    if path.stat().st_size > _MAX_MODEL_BYTES:
        raise DataError(
            f"{path} is larger than {_MAX_MODEL_BYTES:,} bytes; use a Llama's tokenizer"
        )
    # Imported here: who reads a tokenizer.json alone need not hold it in memory.
    from google.protobuf.message import DecodeError
    from sentencepiece import sentencepiece_model_pb2

    proto: Any = sentencepiece_model_pb2.ModelProto  # type: ignore[attr-defined]  # made when it is imported
    model = proto()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError as error:
        otherwise = "is no sentencepiece model"
        reason = f"it {instead(path, 'a sentencepiece model', otherwise)}"
        raise _not_llama(path, reason) from error
    longest = max((len(piece.piece) for piece in model.pieces), default=0)
    if longest > _MAX_PIECE:
        raise _not_llama(path, f"it has a piece of {longest:,} characters")
    added_types = (proto.SentencePiece.CONTROL, proto.SentencePiece.USER_DEFINED)
    added = sum(piece.type in added_types for piece in model.pieces)
    if added > _MAX_ADDED:
        raise _not_llama(path, f"it has {added:,} pieces that are whole tokens")


def _known(path: Path, document: dict[str, Any]) -> Any:
    """What a Llama's tokenizer has of it."""
    try:
        read = _DOCUMENTS[path.name].model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0]) if first["loc"] else "content"
        value = document.get(field, document)
        raise _not_llama(path, f"its {field!r:.80} is {value!r:.80}") from error
    return read.model_dump(by_alias=True, exclude_unset=True)


def _check_pipeline(path: Path, document: dict[str, Any]) -> None:
    num_tokens = _vocabulary_size(path, document.get("model"))
    for name in _PARTS:
        part = document.get(name)
        if (length := len(json.dumps(part))) > _MAX_PART:
            raise _not_llama(path, f"its {name} has {length:,} characters")
        for step in _objects(part):
            _check_step(path, name, step, num_tokens)
    tokens = document.get("added_tokens", [])
    if isinstance(tokens, list) and len(tokens) > _MAX_ADDED:
        raise _not_llama(path, f"it has more than {_MAX_ADDED:,} added tokens")
    if not isinstance(tokens, list) or not all(map(_is_token, tokens)):
        raise _not_llama(path, "an added token has no text, or no usual number")


def _vocabulary_size(path: Path, model: object) -> int:
    if not isinstance(model, dict) or model.get("type", "BPE") != "BPE":
        raise _not_llama(path, "its model is not a BPE")
    if odd := next((name for name in _NOT_IN_A_LLAMAS if model.get(name)), None):
        raise _not_llama(path, f"its model has {odd} {model[odd]!r:.80}")
    vocabulary = model.get("vocab")
    if not isinstance(vocabulary, dict) or not _is_dense(vocabulary):
        raise _not_llama(path, "its vocabulary is not numbered from 0 on")
    return len(vocabulary)


def _check_step(path: Path, name: str, step: dict[str, Any], num_tokens: int) -> None:
    kind = step.get("type")
    if "type" in step and (not isinstance(kind, str) or kind not in _TYPES):
        raise _not_llama(path, f"its {name} has a {kind!r:.80}")
    if "Regex" in step:
        raise _not_llama(path, f"its {name} has the pattern {step['Regex']!r:.80}")
    if kind == "Replace" and _grows(step):
        raise _not_llama(path, f"its {name} puts a longer text in place of another")
    if kind == "Prepend" and len(str(step.get("prepend", ""))) > 1:
        raise _not_llama(path, f"its {name} puts a text in front of each")
    if kind == "TemplateProcessing" and not _is_plain(step, num_tokens):
        raise _not_llama(path, f"its {name} adds other tokens, or repeats the text")


def _is_dense(vocabulary: dict[str, Any]) -> bool:
    """Whether each number has one text: a row of the model belongs to each."""
    return set(map(type, vocabulary.values())) == {int} and sorted(vocabulary.values()) == list(
        range(len(vocabulary))
    )


def _is_plain(template: dict[str, Any], num_tokens: int) -> bool:
    """Whether it puts some of the vocabulary's tokens around a text."""
    single, special = template.get("single"), template.get("special_tokens")
    if not isinstance(single, list) or not isinstance(special, dict):
        return False
    texts = sum("Sequence" in part for part in single if isinstance(part, dict))
    numbers = [token.get("ids") for token in special.values() if isinstance(token, dict)]
    return texts == 1 and all(
        isinstance(ids, list)
        and len(ids) == 1
        and isinstance(ids[0], int)
        and 0 <= ids[0] < num_tokens
        for ids in numbers
    )


def _grows(replace: dict[str, Any]) -> bool:
    """Whether a few such steps, one after the other, make a text of any length from a short one."""
    pattern, content = replace.get("pattern"), replace.get("content")
    if isinstance(pattern, dict) and "Regex" in pattern:
        return False  # it is refused for what it is
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
