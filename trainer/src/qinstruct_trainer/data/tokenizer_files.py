"""The tokenizer files of a checkpoint that is not trusted: what of them a Llama's tokenizer has.

A tokenizer.json is a program: it may hold patterns that take for ever, and texts that grow. What
a Llama's consists of is known, so that anything else is refused before a library reads it.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

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
_MAX_TEXT = 1000  # characters of a token, of a text to replace
_CLASSES = (None, "LlamaTokenizer", "LlamaTokenizerFast", "TokenizersBackend")
_CONFIG_FIELDS = frozenset(
    {
        *("add_bos_token", "add_eos_token", "add_prefix_space", "added_tokens_decoder"),
        *("additional_special_tokens", "backend", "bos_token", "clean_up_tokenization_spaces"),
        *("eos_token", "extra_special_tokens", "is_local", "legacy", "local_files_only"),
        *("model_max_length", "pad_token", "padding_side", "processor_class"),
        *("spaces_between_special_tokens", "tokenizer_class", "unk_token"),
        *("use_default_system_prompt",),
    }
)
_PARTS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
_TYPES = frozenset(
    {
        *("Sequence", "Prepend", "Replace", "Metaspace", "TemplateProcessing"),
        *("ByteFallback", "Fuse", "Strip"),
    }
)


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
        if name == "tokenizer_config.json":
            document = _known(source / name, document)
        (folder / name).write_text(json.dumps(document), "utf-8")


def _check_size(path: Path) -> None:
    if path.stat().st_size > _MAX_BYTES:
        raise DataError(f"{path} is larger than {_MAX_BYTES:,} bytes; use a Llama's tokenizer")


def _known(path: Path, config: dict[str, Any]) -> dict[str, Any]:
    """The fields that a Llama's tokenizer takes; no code, no template, no other file."""
    kind = config.get("tokenizer_class")
    if kind not in _CLASSES:
        raise DataError(
            f"{path} has tokenizer_class {kind!r:.80}, not a Llama tokenizer; use a checkpoint of "
            "the LLaVA-v1.5 or Vicuna-v1.5 family"
        )
    return {name: value for name, value in config.items() if name in _CONFIG_FIELDS}


def _check_pipeline(path: Path, document: dict[str, Any]) -> None:
    model = document.get("model")
    if not isinstance(model, dict) or model.get("type", "BPE") != "BPE":
        raise _not_llama(path, "its model is not a BPE")
    for name in _PARTS:
        for key, value in _walk(document.get(name)):
            if key == "type" and value not in _TYPES:
                raise _not_llama(path, f"its {name} has a {value!r:.80}")
            if key == "Regex":
                raise _not_llama(path, f"its {name} has the pattern {value!r:.80}")
            if isinstance(value, str) and len(value) > _MAX_TEXT:
                raise _not_llama(path, f"its {name} has a text of {len(value):,} characters")
    tokens = document.get("added_tokens", [])
    if not isinstance(tokens, list) or not all(map(_is_token, tokens)):
        raise _not_llama(path, "an added token has no text, or no usual number")


def _walk(value: object) -> Iterator[tuple[str, object]]:
    """Every key of every object below a value, with what stands there."""
    rest = [value]
    while rest:
        part = rest.pop()
        if isinstance(part, dict):
            yield from part.items()
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
