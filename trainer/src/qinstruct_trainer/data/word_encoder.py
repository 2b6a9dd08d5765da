"""Encode conversations word by word, each distinct word once: a small part of the time of texts.

Exact, see `word_rules`; a text with something unusual is left to `encode.tokenize_record`.
"""

import re
import struct
from typing import Any, Final

import numpy as np

from qinstruct_trainer.data.conversation import IMAGE_TOKEN, SYSTEM, Prompt
from qinstruct_trainer.data.image_tokens import Span
from qinstruct_trainer.data.text_encoder import TextEncoder
from qinstruct_trainer.data.word_rules import SPACE, WordRules

_WORD: Final = re.compile(f"[ {SPACE}]*[^ {SPACE}]+|[ {SPACE}]+")
_MAX_WORD = 64  # characters of a word that is worth keeping
_MAX_WORDS = 1 << 16  # kept, and as many held; some 200 bytes each
# Each is encoded both ways before the words are relied upon.
_PROBES: Final = (
    SYSTEM,
    "  two  spaces and a\ttab \n\nlines  ",
    "\nHow is the lighting? [0.25, 0.5] (3.14%) don't e.g. 12,345",
    "é e\u0301 质量 とても良い 한국어 هل שלום Привет 🙂 👩\u200d👧 \x00\x7f\u00a0\u3000\u200b",
    "\u2581a\u2581\u2581b c\u2581 \u2581d",
    "</s>a </s> b<s> c<unk>d</s></s><unk>",
    "<0x0A> <pad> <im age> </S> <ima",
    "",
    " ",
)
_START, _INSIDE, _BEHIND_TOKEN = range(3)


class UnusualTextError(Exception):
    """This way cannot tell what the text's tokens are."""


class WordEncoder:
    """Encodes prompts; made by `word_encoder`.

    Its tokens are packed in `dtype`, as the index stores them.
    """

    def __init__(self, encoder: TextEncoder, rules: WordRules, dtype: np.dtype[Any]):
        """`rules`: of the encoder."""
        self._words = _Words(encoder, dtype)
        self._width: Final = dtype.itemsize
        self._always: Final = rules.space_behind_added
        self._added: Final = {
            text: np.array(number, dtype).tobytes() for text, number in rules.added.items()
        }
        marks = "|".join(re.escape(text) for text in self._added)
        self._marks = re.compile(f"({marks})")
        self._marks_and_image = re.compile(f"({marks}|{re.escape(IMAGE_TOKEN)})")
        self._image: Final = np.array(encoder.ids.image, dtype).tobytes()
        (begin,) = encoder.backend.encode("").ids
        self._head: Final = np.array(begin, dtype).tobytes() + self._words.encode(f" {SYSTEM}")

    def encode(self, prompt: Prompt, has_image: bool) -> tuple[bytes, list[Span], int]:
        """The tokens of a prompt, the spans that are learnt, and how many images there are.

        Each image is one placeholder.

        Args:
            prompt: As `render` makes it.
            has_image: Whether `<image>` in it is one, not a text.

        Raises:
            UnusualTextError: encode the record as a whole.
        """
        pieces = [self._head]
        spans: list[Span] = []
        count = len(self._head) // self._width
        at, place = len(SYSTEM), _INSIDE
        for start, end in prompt.answers:
            count, place = self._append(prompt.text[at:start], has_image, place, pieces, count, [])
            count, place = self._append(
                prompt.text[start:end], has_image, place, pieces, count, spans
            )
            at = end
        self._append(prompt.text[at:], has_image, place, pieces, count, [])
        num_images = prompt.text.count(IMAGE_TOKEN) if has_image else 0
        return b"".join(pieces), spans, num_images

    def _append(
        self,
        text: str,
        has_image: bool,
        place: int,
        pieces: list[bytes],
        count: int,
        spans: list[Span],
    ) -> tuple[int, int]:
        """Append a part's tokens and spans; how many there are now, and where the part ends."""
        begin = count
        for part in (self._marks_and_image if has_image else self._marks).split(text):
            if not part:
                continue
            if part in self._added:
                packed, place = self._added[part], _BEHIND_TOKEN
            elif has_image and part == IMAGE_TOKEN:
                if count > begin:
                    spans.append((begin, count))
                packed, place, begin = self._image, _START, count + 1
            else:
                needs = place == _START or (place == _BEHIND_TOKEN and self._always)
                if needs and part[0] not in (" ", SPACE):
                    part = f" {part}"
                packed, place = self._words.encode(part), _INSIDE
            pieces.append(packed)
            count += len(packed) // self._width
        if count > begin:
            spans.append((begin, count))
        return count, place


class _Words(dict[str, bytes]):
    """The packed tokens of the words that were met lately.

    When it is full it is emptied, and takes from what it held the words that come again.
    """

    def __init__(self, encoder: TextEncoder, dtype: np.dtype[Any]):
        super().__init__()
        self._backend = encoder.backend
        self._tokenize = encoder.backend.model.tokenize
        self._format: Final = {2: "<%dH", 4: "<%dI"}[dtype.itemsize]
        self._held: dict[str, bytes] = {}

    def encode(self, text: str) -> bytes:
        """The packed tokens of a text without added tokens."""
        return b"".join(map(self.__getitem__, _WORD.findall(text)))

    def __missing__(self, word: str) -> bytes:
        packed = self._held.get(word)
        if packed is None:
            packed = self._packed(word.replace(" ", SPACE))
        if len(word) <= _MAX_WORD:
            if len(self) >= _MAX_WORDS:
                self._held = dict(self)
                self.clear()
            self[word] = packed
        return packed

    def _packed(self, word: str) -> bytes:
        tokens = self._tokenize(word)
        ids = [token.id for token in tokens]
        # Decoded they must be the word, as `check_answers` compares. Where there are no bytes
        # among them that is so if their texts are.
        if "<0x" in word or "".join([token.value for token in tokens]) != word:
            decoded = self._backend.decode(ids, skip_special_tokens=False)
            if _bare(decoded) != _bare(word):
                raise UnusualTextError(word)
        return struct.pack(self._format % len(ids), *ids)


def word_encoder(encoder: TextEncoder, dtype: np.dtype[Any]) -> WordEncoder | None:
    """Of a tokenizer for which words are enough; None for another.

    Args:
        encoder: Of the checkpoint.
        dtype: Of the index's tokens.
    """
    if encoder.words is None:
        return None
    try:
        words = WordEncoder(encoder, encoder.words, dtype)
        alike = all(_is_alike(words, encoder, probe, dtype) for probe in _PROBES)
    except (UnusualTextError, ValueError):
        return None
    return words if alike else None


def _is_alike(words: WordEncoder, encoder: TextEncoder, probe: str, dtype: np.dtype[Any]) -> bool:
    chunks = (f"{SYSTEM} USER: ", f"{probe} ASSISTANT:", f"{probe}</s>")
    first, second, third = (encoder.backend.encode(chunk).ids for chunk in chunks)
    text = IMAGE_TOKEN.join(chunks)
    prompt = Prompt(text, ((len(text) - len(chunks[2]), len(text)),))
    expected = [*first, encoder.ids.image, *second[1:], encoder.ids.image, *third[1:]]
    return words.encode(prompt, has_image=True)[0] == np.array(expected, dtype).tobytes()


def _bare(text: str) -> str:
    return text.replace(" ", "").replace(SPACE, "")
