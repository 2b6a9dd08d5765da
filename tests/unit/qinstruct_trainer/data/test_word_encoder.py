"""Word by word the tokens and spans are those of whole texts, whatever the texts are."""

import json
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data import word_encoder as module
from qinstruct_trainer.data.conversation import SYSTEM, render
from qinstruct_trainer.data.encode import tokenize_record
from qinstruct_trainer.data.records import Record, Turn
from qinstruct_trainer.data.text_encoder import TextEncoder, open_text_encoder
from qinstruct_trainer.data.word_encoder import UnusualTextError, WordEncoder, word_encoder
from support.model.builtin import write_small_model

DTYPE = np.dtype("<u2")
TEXTS = [SYSTEM, "Is it sharp? Rather dim.", "don't  e.g. 3.5 [0.25, 0.5]\n\nLines", "质量 é"]
PIECES = st.sampled_from(
    [
        *(
            " ",
            "  ",
            "\n",
            "\u2581",
            "\u2581\u2581",
            "Is",
            "sharp",
            "dim.",
            "3.5",
            "é",
            "质量",
            "🙂",
        ),
        *("<s>", "</s>", "<unk>", "<pad>", "<image>", "<ima<image>ge>", "<0x0A>", "</ s>", "<"),
        *("ASSISTANT:", " ASSISTANT: ", "USER:", "\x00", "\u00a0", "\u200b", "e\u0301"),
    ]
)
TEXT = (
    st.lists(PIECES | st.text(max_size=3), max_size=12)
    .map("".join)
    .filter(lambda text: "\ufffd" not in text)
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_model(tmp_path_factory.mktemp("model"), TEXTS * 20)


def of_scheme(folder: Path, scheme: str) -> TextEncoder:
    """The checkpoint's encoder as it is with that prefix of texts."""
    pipeline = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    pipeline["pre_tokenizer"]["prepend_scheme"] = scheme
    (folder / "tokenizer.json").write_text(json.dumps(pipeline), "utf-8")
    return open_text_encoder(folder)


@pytest.fixture(scope="module", params=["first", "always"])
def encoder(request: pytest.FixtureRequest, folder: Path) -> TextEncoder:
    return of_scheme(folder, request.param)


@pytest.fixture(scope="module")
def words(encoder: TextEncoder) -> WordEncoder:
    made = word_encoder(encoder, DTYPE)
    assert made is not None
    return made


def assert_alike(record: Record, encoder: TextEncoder, words: WordEncoder) -> None:
    packed, spans, num_images = words.encode(render(record), record.image is not None)
    expected = tokenize_record(record, encoder, 1, max_length=1_000_000)
    ids = np.frombuffer(packed, DTYPE)
    labels = np.full(len(ids), -100)
    for start, end in spans:
        assert start < end
        labels[start:end] = ids[start:end]
    assert ids.tolist() == expected.input_ids.tolist()
    assert labels.tolist() == expected.labels.tolist()
    assert num_images == np.count_nonzero(ids == encoder.ids.image)


@given(texts=st.lists(TEXT, min_size=1, max_size=5), image=st.sampled_from([None, "a.jpg"]))
def test_word_by_word_is_the_same_as_whole(
    encoder: TextEncoder, words: WordEncoder, texts: list[str], image: str | None
) -> None:
    turns = tuple(Turn("gpt" if n % 2 else "human", text) for n, text in enumerate(texts))
    assert_alike(Record("r", image, turns), encoder, words)


def test_words_that_were_forgotten_are_encoded_again(
    encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_WORDS", 5)
    words = word_encoder(encoder, DTYPE)
    assert words is not None
    for number in range(40):
        said = Turn("human", f"Is it {number} or {number % 3}?"), Turn("gpt", f"It is {number}.")
        assert_alike(Record("r", None, said), encoder, words)
    assert 0 < len(words._words) <= 5


def with_merges(folder: Path, target: Path, *chain: str) -> Path:
    """The checkpoint's tokenizer, which also joins these characters from the first one on."""
    pipeline = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    vocabulary: dict[str, int] = pipeline["model"]["vocab"]
    joined = list(accumulate(chain))
    for text in (*chain, *joined):
        vocabulary.setdefault(text, len(vocabulary))
    pipeline["model"]["merges"] = [
        *([left, sign] for left, sign in zip(joined, chain[1:], strict=False)),
        *pipeline["model"]["merges"],
    ]
    for token in pipeline["added_tokens"]:
        if token["content"] not in vocabulary:
            token["id"] += 100
    target.mkdir()
    (target / "tokenizer.json").write_text(json.dumps(pipeline), "utf-8")
    config = (folder / "tokenizer_config.json").read_bytes()
    (target / "tokenizer_config.json").write_bytes(config)
    return target


def test_a_word_that_does_not_decode_to_itself_is_left_to_the_whole_way(
    folder: Path, tmp_path: Path
) -> None:
    encoder = open_text_encoder(with_merges(folder, tmp_path / "model", *"<0x41>"))
    words = word_encoder(encoder, DTYPE)
    assert words is not None
    record = Record("r", None, (Turn("human", "What?"), Turn("gpt", "a <0x41> b")))
    with pytest.raises(UnusualTextError):
        words.encode(render(record), has_image=False)
    with pytest.raises(DataError, match="its labels decode to"):
        tokenize_record(record, encoder, 1, max_length=100)
