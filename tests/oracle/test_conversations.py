"""Ids and labels equal the original code's; where they do not, the case is a known one.

docs/fidelity.md explains every class of deviation that is counted here.
"""

import random
from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.conversation import render, shown_turns
from qinstruct_trainer.data.encode import (
    encode_record,
    image_token_id,
    text_encoder,
    tokenize_record,
)
from qinstruct_trainer.data.records import parse_record
from qinstruct_trainer.data.word_encoder import word_encoder
from support.oracle_llava import (
    expand_original,
    load_llama_tokenizer,
    load_original,
    original_encoding,
)

NUM_CONVERSATIONS = 2_600
MAX_LENGTH = 2048

_WORDS = (
    *(
        "the",
        "image",
        "is",
        "quite",
        "blurry",
        "and",
        "its",
        "lighting",
        "poor",
        "How",
        "yes",
        "No.",
    ),
    *("Is", "it", "over-exposed?", "3.5", "100%", "e.g.", "don't", "ASSISTANT", "USER:", "\n"),
    *("\n\n", " ", "   ", "\t", "\r\n", "\u00a0", "\u3000", "\u200b", "\u2581", "é", "e\u0301"),
    *(
        "质量",
        "とても良い",
        "한국어",
        "هل",
        "שלום",
        "Привет",
        "🙂",
        "👩\u200d👧",
        "🇩🇪",
        "𓂀",
        "\x00",
        "\x7f",
    ),
    *("<s>", "<0x0A>", "<pad>", "<image", "image>", "<ima<image>ge>", "[INST]", "</S>", "\x00"),
    *("</ s>", "<", ">", "###", "\\n", "{}", "``", '"quoted"'),
)
# What makes the original mask a conversation, or the rest of it, without a word of warning.
_TROUBLE = ("</s>", "<unk>", "x ASSISTANT: y", "ends with ASSISTANT:")


@pytest.fixture(scope="module")
def original() -> SimpleNamespace:
    return load_original()


def generate(seed: int, count: int) -> list[dict[str, Any]]:
    chance = random.Random(seed)
    return [_record(chance, number) for number in range(count)]


def _record(chance: random.Random, number: int) -> dict[str, Any]:
    has_image = chance.random() < 0.6
    num_turns = 2 * chance.choice((1, 1, 1, 2, 3, 5))
    speakers = ["human", "gpt"] * (num_turns // 2)
    if chance.random() < 0.1:
        speakers.insert(0, "gpt")
    if chance.random() < 0.05:
        speakers.append("human")
    length = 12 if chance.random() < 0.96 else chance.choice((300, 600, 900))
    turns = [{"from": speaker, "value": _text(chance, length)} for speaker in speakers]
    for turn in chance.sample(turns, k=min(len(turns), chance.choice((0, 1, 1, 1, 2)))):
        at = chance.randint(0, len(turn["value"]))
        turn["value"] = f"{turn['value'][:at]}<image>{turn['value'][at:]}"
    if chance.random() < 0.1:
        turn = chance.choice(turns)
        turn["value"] = chance.choice(("", f"{turn['value']} {chance.choice(_TROUBLE)}"))
    record = {"id": f"case-{number}", "conversations": turns}
    return record | ({"image": "a/b.jpg"} if has_image else {})


def _text(chance: random.Random, length: int) -> str:
    return chance.choice((" ", " ", " ", "")).join(
        chance.choices(_WORDS, k=chance.randint(1, length))
    )


def deviation(raw: dict[str, Any]) -> str | None:
    """The class of conversations with which the original's own masking cannot cope."""
    turns = shown_turns(parse_record(raw, 0))
    texts = [turn.text for turn in turns]
    checks = {
        "empty turn": "" in texts,
        "</s> in the text": any("</s>" in text for text in texts),
        "<unk> in the text": any("<unk>" in text for text in texts),
        " ASSISTANT: in the text": any(" ASSISTANT: " in f" {text} " for text in texts),
        "question without answer": turns[-1].speaker == "human",
    }
    return next((name for name, found in checks.items() if found), None)


@pytest.mark.slow
@pytest.mark.parametrize("legacy", [False, True], ids=["legacy-false", "legacy-true"])
def test_ids_and_labels_equal_the_original(legacy: bool, original: SimpleNamespace) -> None:
    base = load_llama_tokenizer(legacy)
    hub = load_llama_tokenizer(legacy, layout="hub")
    assert (image_token_id(base), image_token_id(hub)) == (32_000, 32_000)
    met: Counter[str | None] = Counter()
    deviated: Counter[str] = Counter()
    for raw in generate(seed=20_231_027, count=NUM_CONVERSATIONS):
        ids, labels = original_encoding(original, raw, base, MAX_LENGTH)
        ids, labels = expand_original(ids, labels, 32_000, 576, MAX_LENGTH)
        ours = encode_record(raw, hub)
        again = encode_record(parse_record(raw, 0), base)
        assert ours.input_ids.tolist() == again.input_ids.tolist() == ids, raw
        assert ours.labels.tolist() == again.labels.tolist(), raw
        kind = deviation(raw)
        met[kind] += 1
        if kind is None:
            assert ours.labels.tolist() == labels, raw
        elif ours.labels.tolist() != labels:
            deviated[kind] += 1
    assert met.total() == NUM_CONVERSATIONS
    assert met[None] >= 2_000
    # Every class that docs/fidelity.md lists was met, and does deviate.
    assert set(deviated) == {kind for kind in met if kind is not None}
    assert len(deviated) == 5


@pytest.mark.slow
@pytest.mark.parametrize("legacy", [False, True], ids=["legacy-false", "legacy-true"])
def test_word_by_word_every_string_has_the_same_ids_and_labels(legacy: bool) -> None:
    encoder = text_encoder(load_llama_tokenizer(legacy, layout="hub"))
    dtype = np.dtype("<u2")
    words = word_encoder(encoder, dtype)
    assert words is not None
    strings = 0
    raws = [*generate(seed=20_231_027, count=NUM_CONVERSATIONS), *generate(seed=1, count=4_000)]
    for raw in raws:
        record = parse_record(raw, 0)
        packed, spans, _ = words.encode(render(record), record.image is not None)
        whole = tokenize_record(record, encoder, 1, max_length=1_000_000)
        labels = np.full(len(whole.labels), -100)
        for start, end in spans:
            labels[start:end] = whole.input_ids[start:end]
        assert np.frombuffer(packed, dtype).tolist() == whole.input_ids.tolist(), raw
        assert labels.tolist() == whole.labels.tolist(), raw
        strings += len(record.turns)
    assert strings >= 20_000


def test_the_generator_covers_what_it_claims() -> None:
    records = generate(seed=20_231_027, count=NUM_CONVERSATIONS)
    tokenizer = load_llama_tokenizer(legacy=False)
    lengths = [
        len(encode_record(record, tokenizer, max_length=10_000).input_ids) for record in records
    ]
    shown = [render(parse_record(record, 0)).text.count("<image>") for record in records]
    with_image = ["image" in record for record in records]
    assert sum(length > MAX_LENGTH for length in lengths) >= 30
    assert sum(image and not places for image, places in zip(with_image, shown, strict=True)) >= 50
    assert sum(image and places > 1 for image, places in zip(with_image, shown, strict=True)) >= 50
    assert (
        sum(not image and places > 0 for image, places in zip(with_image, shown, strict=True)) >= 50
    )
    assert sum(len(record["conversations"]) > 2 for record in records) >= 500


@pytest.mark.parametrize(
    "turns",
    {
        "two questions in a row": [("human", "a"), ("human", "b"), ("gpt", "c")],
        "an unknown speaker": [("human", "a"), ("system", "b")],
    }.values(),
)
def test_where_the_original_crashes_the_record_is_named(
    turns: list[tuple[str, str]], original: SimpleNamespace
) -> None:
    tokenizer = load_llama_tokenizer(legacy=False)
    said = [{"from": speaker, "value": text} for speaker, text in turns]
    raw = {"id": "the-bad-one", "conversations": said}
    with pytest.raises((AssertionError, KeyError)):
        original_encoding(original, raw, tokenizer, MAX_LENGTH)
    with pytest.raises(DataError, match="the-bad-one"):
        encode_record(raw, tokenizer)
