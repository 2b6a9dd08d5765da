"""A record to token ids and labels, equal to the published LLaVA-v1.5 code.

The published code tokenises every chunk of text between two `<image>` for itself, keeps only the
first chunk's `<s>`, and later puts the image's features between them.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from qinstruct_trainer.contract.errors import ConfigError
from qinstruct_trainer.data.conversation import IMAGE_TOKEN, Prompt, render
from qinstruct_trainer.data.image_tokens import (
    EncodedRecord,
    TokenizedRecord,
    cut_record,
    expand_images,
)
from qinstruct_trainer.data.label_mask import IGNORE_INDEX, Ids, check_answers, mask_labels
from qinstruct_trainer.data.records import Record, parse_record
from qinstruct_trainer.data.text_encoder import TextEncoder, TokenIds, make_encoder

if TYPE_CHECKING:  # the library takes seconds to import; who has a TextEncoder needs it not
    from qinstruct_trainer.data.tokenizer import Tokenizer


def encode_record(
    record: Record | Mapping[str, object],
    tokenizer: "Tokenizer",
    num_image_tokens: int = 576,
    *,
    max_length: int = 2048,
) -> EncodedRecord:
    """A record, or its JSON object, as the model sees it; see `tokenize_record`."""
    parsed = record if isinstance(record, Record) else parse_record(record, 0)
    encoder = text_encoder(tokenizer)
    short = tokenize_record(parsed, encoder, num_image_tokens, max_length=max_length)
    return expand_images(
        short.input_ids, short.labels, encoder.ids.image, num_image_tokens, max_length
    )


def tokenize_record(
    record: Record, encoder: TextEncoder, num_image_tokens: int, *, max_length: int
) -> TokenizedRecord:
    """Ids and labels of one record, its images not expanded.

    Args:
        record: The record.
        encoder: Of the model's tokenizer, which begins a text with `<s>`.
        num_image_tokens: Placeholders an image stands for: the patches of the vision tower.
        max_length: Longest sequence in tokens, image included.

    Raises:
        DataError: what would be learnt is not what the record answers.
    """
    prompt = render(record)
    ids, starts = _encode_chunks(prompt, record, encoder)
    labels = mask_labels(ids, starts, prompt)
    learnt = labels[labels != IGNORE_INDEX].tolist()
    check_answers(record, prompt, encoder.backend.decode(learnt, skip_special_tokens=False))
    return cut_record(ids, labels, encoder.ids.image, num_image_tokens, max_length)


def text_encoder(tokenizer: "Tokenizer") -> TextEncoder:
    """A tokenizer that transformers has loaded, as the published code sees it.

    Raises:
        ConfigError: the tokenizer is not a fast one.
    """
    return _text_encoder(tokenizer, len(tokenizer))


def image_token_id(tokenizer: "Tokenizer") -> int:
    """The id of the image's placeholder: the tokenizer's own, or the first one that it lacks."""
    token_id = tokenizer.backend_tokenizer.token_to_id(IMAGE_TOKEN)  # get_vocab() takes 10 ms
    return len(tokenizer) if token_id is None else int(token_id)


def _encode_chunks(prompt: Prompt, record: Record, encoder: TextEncoder) -> tuple[Ids, list[int]]:
    """Ids with one placeholder per image, and where each begins in the text (an image: -1)."""
    chunks = [prompt.text] if record.image is None else prompt.text.split(IMAGE_TOKEN)
    ids: list[int] = []
    starts: list[int] = []
    begin = 0
    for number, chunk in enumerate(chunks):
        encoding = encoder.backend.encode(chunk)
        skipped = 0
        if number:
            ids.append(encoder.ids.image)
            starts.append(-1)
            skipped = 1  # its own <s>
        ids += encoding.ids[skipped:]
        starts += [begin + start for start, _ in encoding.offsets[skipped:]]
        begin += len(chunk) + len(IMAGE_TOKEN)
    return np.array(ids, np.int64), starts


@lru_cache(maxsize=4)
def _text_encoder(tokenizer: "Tokenizer", num_tokens: int) -> TextEncoder:
    """Kept, since it takes about as long as loading a tokenizer.

    `num_tokens` is part of the key: a tokenizer can be given more tokens later.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ConfigError(
            f"{type(tokenizer).__name__} is not a fast tokenizer; load it by load_tokenizer"
        )
    kept = {tokenizer.bos_token, tokenizer.eos_token, tokenizer.unk_token}
    pad = tokenizer.pad_token_id
    return make_encoder(
        json.loads(backend.to_str()),
        {IMAGE_TOKEN, tokenizer.pad_token} - kept,
        TokenIds(image_token_id(tokenizer), tokenizer.eos_token_id if pad is None else pad),
    )
