"""A record to token ids and labels, equal to the published LLaVA-v1.5 code.

The published code tokenises every chunk of text between two `<image>` for itself, keeps only the
first chunk's `<s>`, and later puts the image's features between them.
"""

import json
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import tokenizers

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
from qinstruct_trainer.data.tokenizer import Tokenizer


def encode_record(
    record: Record | Mapping[str, object],
    tokenizer: Tokenizer,
    num_image_tokens: int = 576,
    *,
    max_length: int = 2048,
) -> EncodedRecord:
    """A record, or its JSON object, as the model sees it; see `tokenize_record`."""
    parsed = record if isinstance(record, Record) else parse_record(record, 0)
    short = tokenize_record(parsed, tokenizer, num_image_tokens, max_length=max_length)
    return expand_images(
        short.input_ids, short.labels, image_token_id(tokenizer), num_image_tokens, max_length
    )


def tokenize_record(
    record: Record, tokenizer: Tokenizer, num_image_tokens: int, *, max_length: int
) -> TokenizedRecord:
    """Ids and labels of one record, its images not expanded.

    Args:
        record: The record.
        tokenizer: A fast Llama tokenizer that begins a text with `<s>`.
        num_image_tokens: Placeholders an image stands for: the patches of the vision tower.
        max_length: Longest sequence in tokens, image included.

    Raises:
        DataError: what would be learnt is not what the record answers.
        ConfigError: the tokenizer is not a fast one.
    """
    prompt = render(record)
    encoder = _text_encoder(tokenizer, len(tokenizer))
    image_id = image_token_id(tokenizer)
    ids, starts = _encode_chunks(prompt, record, encoder, image_id)
    labels = mask_labels(ids, starts, prompt)
    learnt = labels[labels != IGNORE_INDEX].tolist()
    check_answers(record, prompt, encoder.decode(learnt, skip_special_tokens=False))
    return cut_record(ids, labels, image_id, num_image_tokens, max_length)


def image_token_id(tokenizer: Tokenizer) -> int:
    """The id of the image's placeholder: the tokenizer's own, or the first one that it lacks."""
    token_id = tokenizer.backend_tokenizer.token_to_id(IMAGE_TOKEN)  # get_vocab() takes 10 ms
    return len(tokenizer) if token_id is None else int(token_id)


def _encode_chunks(
    prompt: Prompt, record: Record, encoder: tokenizers.Tokenizer, image_id: int
) -> tuple[Ids, list[int]]:
    """Ids with one placeholder per image, and where each begins in the text (an image: -1)."""
    chunks = [prompt.text] if record.image is None else prompt.text.split(IMAGE_TOKEN)
    ids: list[int] = []
    starts: list[int] = []
    begin = 0
    for number, chunk in enumerate(chunks):
        encoding = encoder.encode(chunk)
        skipped = 0
        if number:
            ids.append(image_id)
            starts.append(-1)
            skipped = 1  # its own <s>
        ids += encoding.ids[skipped:]
        starts += [begin + start for start, _ in encoding.offsets[skipped:]]
        begin += len(chunk) + len(IMAGE_TOKEN)
    return np.array(ids, np.int64), starts


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
