"""Whether a tokenizer's texts fall apart into words, and how. Pure.

A Llama's BPE joins neighbours of a text by its merges. Where no token of the vocabulary has
`\u2581` (its sign of a space) behind another character, no merge joins across the boundary
before a run of them: a text's tokens are then those of its words, one after the other.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

SPACE: Final = "\u2581"
_ACROSS: Final = re.compile(f"[^{SPACE}]{SPACE}")
_MARK: Final = re.compile(r"<[^<>\s]+>")
_BYTES: Final = tuple(f"<0x{byte:02X}>" for byte in range(256))
_METASPACE: Final = {"type": "Metaspace", "replacement": SPACE, "split": False}
_DECODER: Final = (  # what a Llama's has; it may also strip a space at the beginning
    {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
    {"type": "ByteFallback"},
    {"type": "Fuse"},
)
_PLAIN: Final = ("single_word", "lstrip", "rstrip", "normalized")
_WHOLE_WORDS: Final = ("dropout", "ignore_merges", "continuing_subword_prefix")


@dataclass(frozen=True)
class WordRules:
    """How they do.

    Attributes:
        added: The tokens that are found in a text before it is split, and their ids.
        space_behind_added: Whether a space is put behind such a token, as at the beginning.
    """

    added: Mapping[str, int]
    space_behind_added: bool


def word_rules(pipeline: Mapping[str, Any]) -> WordRules | None:
    """Of a tokenizer's pipeline as JSON; None if its texts may not fall apart so."""
    model = pipeline["model"]
    splitter = dict(pipeline.get("pre_tokenizer") or {})
    scheme = splitter.pop("prepend_scheme", None)
    added = pipeline["added_tokens"]
    is_one = (
        pipeline.get("normalizer") is None
        and scheme in ("first", "always")
        and splitter == _METASPACE
        and model.get("type") == "BPE"
        and model.get("byte_fallback") is True  # so that no character is unknown
        and not any(model.get(name) for name in _WHOLE_WORDS)
        and all(token in model["vocab"] for token in (SPACE, *_BYTES))
        and not any(map(_ACROSS.search, model["vocab"]))
        and tuple(((pipeline.get("decoder") or {}).get("decoders") or ())[:3]) == _DECODER
        and bool(added)
        and all(map(_is_plain, added))
    )
    if not is_one:
        return None
    return WordRules({token["content"]: token["id"] for token in added}, scheme == "always")


def _is_plain(token: Mapping[str, Any]) -> bool:
    """Whether it is found wherever its text is; two such texts never overlap."""
    is_mark = _MARK.fullmatch(token["content"]) is not None
    return is_mark and not any(token.get(option) for option in _PLAIN)
