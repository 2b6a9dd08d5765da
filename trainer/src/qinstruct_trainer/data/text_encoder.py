"""The tokenizer of a checkpoint as the published code sees it; without torch and transformers.

The checkpoints that prep writes have all of it in tokenizer.json, so that the index, and every
process that helps with it, needs nothing else. That transformers loads the same from such a
folder is checked where it is written (`model.processing`).
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.conversation import IMAGE_TOKEN
from qinstruct_trainer.data.tokenizer_files import read_tokenizer_files
from qinstruct_trainer.data.word_rules import WordRules, word_rules

_PROBE = "What is in this image?"


@dataclass(frozen=True)
class TokenIds:
    """What batches are made with.

    Attributes:
        image: The placeholder of an image.
        pad: The end token where there is no other.
    """

    image: int
    pad: int


@dataclass(frozen=True)
class TextEncoder:
    """Encodes the text between images.

    Attributes:
        backend: Blind to the tokens that only the Hugging Face layout has; see `make_encoder`.
        ids: Of the tokens that no text has.
        words: How its texts fall apart into words; None if they may not.
    """

    backend: tokenizers.Tokenizer
    ids: TokenIds
    words: WordRules | None


def open_text_encoder(folder: Path) -> TextEncoder:
    """Read a checkpoint that prep has written.

    Raises:
        DataError: its tokenizer is missing or damaged, or does not begin a text with `<s>`.
    """
    pipeline, roles = read_tokenizer_files(folder)
    ids = _token_ids(folder, pipeline, roles)
    kept = {roles.get(role) for role in ("bos_token", "eos_token", "unk_token")}
    try:
        encoder = make_encoder(pipeline, {IMAGE_TOKEN, roles.get("pad_token")} - kept, ids)
        begin = encoder.backend.encode(_PROBE).ids[:1]
        first = encoder.backend.token_to_id(roles.get("bos_token", ""))
    except BaseException as error:
        # A panic of the library's Rust is no Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise _damaged(folder, f"does not load ({' '.join(str(error).split()):.200})") from error
    if begin != [first]:
        raise _damaged(folder, "does not begin a text with its begin token")
    return encoder


def read_token_ids(folder: Path) -> TokenIds:
    """The ids alone, without building the tokenizer.

    Raises:
        DataError: the tokenizer is missing or damaged.
    """
    return _token_ids(folder, *read_tokenizer_files(folder))


def make_encoder(
    pipeline: dict[str, Any], hidden: Collection[str | None], ids: TokenIds
) -> TextEncoder:
    """An encoder without some added tokens, and without truncation or padding of another call.

    The published code knows neither `<image>` nor `<pad>` as tokens: in a text they are plain
    characters, and an image's place is found before.

    Args:
        pipeline: Of a tokenizer, as JSON.
        hidden: The added tokens that are left out.
        ids: See `TextEncoder`.
    """
    added = [token for token in pipeline.get("added_tokens", ()) if token["content"] not in hidden]
    seen = {**pipeline, "added_tokens": added, "truncation": None, "padding": None}
    return TextEncoder(tokenizers.Tokenizer.from_str(json.dumps(seen)), ids, word_rules(seen))


def _token_ids(folder: Path, pipeline: dict[str, Any], roles: dict[str, str]) -> TokenIds:
    numbers: dict[str, int] = dict(pipeline["model"]["vocab"])
    numbers |= {token["content"]: token["id"] for token in pipeline.get("added_tokens", ())}
    image, end = numbers.get(IMAGE_TOKEN), numbers.get(roles.get("eos_token", ""))
    if image is None or end is None:
        raise _damaged(folder, f"has no {IMAGE_TOKEN}, or no end token")
    return TokenIds(image, numbers.get(roles.get("pad_token", ""), end))


def _damaged(folder: Path, reason: str) -> DataError:
    return DataError(f"the tokenizer in {folder} {reason}; remove that folder and run prep again")
