"""A record to token ids and labels, equal to the published LLaVA-v1.5 code.

The published code tokenises every chunk of text between two `<image>` for itself, keeps only the
first chunk's `<s>`, and later puts the image's features between them. It finds the answers again
by tokenising rounds once more and counting, which goes wrong in silence (docs/fidelity.md). Here
labels come from where the answers are in the text, and what is learnt is decoded and compared.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import tokenizers

from qinstruct_trainer.contract.errors import ConfigError, DataError
from qinstruct_trainer.data.conversation import IMAGE_TOKEN, Prompt, render
from qinstruct_trainer.data.records import Record, parse_record
from qinstruct_trainer.data.tokenizer import Tokenizer

IGNORE_INDEX = -100
Ids = npt.NDArray[np.int64]
Span = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class EncodedRecord:
    """What the model sees of a record.

    Attributes:
        input_ids: [T], the image as a run of its placeholder's id.
        labels: [T], the id where it is learnt, -100 elsewhere.
        image_runs: (start, length) of every run; a cut leaves the last one shorter.
    """

    input_ids: Ids
    labels: Ids
    image_runs: tuple[Span, ...] = ()


def encode_record(
    record: Record | Mapping[str, object],
    tokenizer: Tokenizer,
    num_image_tokens: int = 576,
    *,
    max_length: int = 2048,
) -> EncodedRecord:
    """Encode one record.

    Args:
        record: A record, or its JSON object.
        tokenizer: A fast Llama tokenizer that begins a text with `<s>`.
        num_image_tokens: Placeholders an image stands for: the patches of the vision tower.
        max_length: Longest sequence in tokens, image included.

    Raises:
        DataError: the JSON object is no record, or what would be learnt is not what it answers.
        ConfigError: the tokenizer is not a fast one.
    """
    parsed = record if isinstance(record, Record) else parse_record(record, 0)
    prompt = render(parsed)
    encoder = _text_encoder(tokenizer, len(tokenizer))
    image_id = image_token_id(tokenizer)
    ids, learnt, images = _encode_chunks(prompt, parsed, encoder, image_id)
    labels = np.where(learnt, ids, IGNORE_INDEX)
    _check_answers(parsed, prompt, encoder.decode(ids[learnt].tolist(), skip_special_tokens=False))
    # The published collator cuts before the image is expanded, the model once more after that.
    return expand_images(
        ids[:max_length], labels[:max_length], images, num_image_tokens, max_length
    )


def image_token_id(tokenizer: Tokenizer) -> int:
    """The id of the image's placeholder: the tokenizer's own, or the first one that it lacks."""
    token_id = tokenizer.backend_tokenizer.token_to_id(IMAGE_TOKEN)  # get_vocab() takes 10 ms
    return len(tokenizer) if token_id is None else int(token_id)


def expand_images(
    ids: Ids, labels: Ids, images: Iterable[int], num_image_tokens: int, max_length: int
) -> EncodedRecord:
    """Replace single placeholders by runs, and cut what is longer than `max_length`.

    Args:
        ids: [T], one placeholder per image.
        labels: [T].
        images: Positions of the placeholders, ascending; those past the end are cut off.
        num_image_tokens: Length of a run.
        max_length: Longest result.
    """
    places = [place for place in images if place < len(ids)]
    if not places:
        return EncodedRecord(ids[:max_length], labels[:max_length])
    counts = np.ones(len(ids), np.int64)
    counts[places] = num_image_tokens
    runs = tuple(
        (start, min(num_image_tokens, max_length - start))
        for start in (place + i * (num_image_tokens - 1) for i, place in enumerate(places))
        if start < max_length
    )
    return EncodedRecord(
        np.repeat(ids, counts)[:max_length], np.repeat(labels, counts)[:max_length], runs
    )


def _encode_chunks(
    prompt: Prompt, record: Record, encoder: tokenizers.Tokenizer, image_id: int
) -> tuple[Ids, npt.NDArray[np.bool_], list[int]]:
    """Ids with one placeholder per image, whether each is learnt, where the placeholders are."""
    chunks = [prompt.text] if record.image is None else prompt.text.split(IMAGE_TOKEN)
    ids: list[int] = []
    starts: list[int] = []  # of each token, in characters of the whole text
    images: list[int] = []
    begin = 0
    for number, chunk in enumerate(chunks):
        encoding = encoder.encode(chunk)
        skipped = 0
        if number:
            images.append(len(ids))
            ids.append(image_id)
            starts.append(-1)
            skipped = 1  # its own <s>
        ids += encoding.ids[skipped:]
        starts += [begin + start for start, _ in encoding.offsets[skipped:]]
        begin += len(chunk) + len(IMAGE_TOKEN)
    places = np.array(starts)
    learnt = np.zeros(len(ids), np.bool_)
    for start, end in prompt.answers:
        learnt |= (places >= start) & (places < end)
    return np.array(ids, np.int64), learnt, images


def _check_answers(record: Record, prompt: Prompt, decoded: str) -> None:
    """What is learnt is what the record answers.

    Spaces are left out of the comparison: a tokenizer adds one where a chunk begins and, with
    `legacy`, after a special token; and it writes U+2581 for them.

    Raises:
        DataError: it is not.
    """
    expected = "".join(prompt.text[start:end] for start, end in prompt.answers)
    if record.image is not None:
        expected = expected.replace(IMAGE_TOKEN, "")
    if _without_spaces(decoded) != _without_spaces(expected):
        raise DataError(
            f"record {record.id!r:.80}: its labels decode to {decoded!r:.120}, not to its answers "
            f"{expected!r:.120}; its text and this tokenizer do not go together"
        )


def _without_spaces(text: str) -> str:
    return text.replace(" ", "").replace("\u2581", "")


@lru_cache(maxsize=4)
def _text_encoder(tokenizer: Tokenizer, num_tokens: int) -> tokenizers.Tokenizer:
    """The tokenizer, made blind to the tokens that only the Hugging Face layout has.

    The published code knows neither `<image>` nor `<pad>` as tokens: in a text they are plain
    characters, and an image's place is found before. A copy also has no truncation or padding
    left over from another call. Building it takes about as long as loading a tokenizer, so it is
    kept; `num_tokens` is part of the key, since a tokenizer can be given more tokens later.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ConfigError(
            f"{type(tokenizer).__name__} is not a fast tokenizer; load it by load_tokenizer"
        )
    kept = {tokenizer.bos_token, tokenizer.eos_token, tokenizer.unk_token}
    hidden = {IMAGE_TOKEN, tokenizer.pad_token} - kept
    state = json.loads(backend.to_str())
    state["added_tokens"] = [
        token for token in state["added_tokens"] if token["content"] not in hidden
    ]
    state["truncation"] = state["padding"] = None
    return tokenizers.Tokenizer.from_str(json.dumps(state))
