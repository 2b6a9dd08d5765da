"""Tokenizers of a checkpoint that is not trusted."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sentencepiece import sentencepiece_model_pb2

from qinstruct_trainer.builtin.tokenizer import write_tiny_tokenizer
from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.tokenizer import load_tokenizer

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tiny_tokenizer(tmp_path / "raw", ["Is it sharp?", "Yes, it is."] * 20)
    load_tokenizer(tmp_path / "raw").save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def change_json(path: Path, change: Change) -> None:
    document = json.loads(path.read_text("utf-8"))
    change(document)
    path.write_text(json.dumps(document), "utf-8")


EXPLODING = {"Regex": "(a+)+$"}


def replacing(old: str, new: object, times: int = 1) -> dict[str, Any]:
    step = {"type": "Replace", "pattern": {"String": old}, "content": new}
    return {"type": "Sequence", "normalizers": [step] * times}


NOT_LLAMA = r"checkpoint/tokenizer\.json is not of a Llama tokenizer: "
DOES_NOT_LOAD = r"checkpoint has no tokenizer that loads \(Exception: .*"
PARTS: dict[str, tuple[Change, str]] = {
    "a text that grows": (
        lambda t: t.update(normalizer=replacing("a", "aa", 40)),
        NOT_LLAMA + "its normalizer",
    ),
    "a text out of nothing": (
        lambda t: t.update(normalizer=replacing("", "", 40)),
        NOT_LLAMA + "its normalizer",
    ),
    "a text that grows where it is decoded": (
        lambda t: t.update(
            decoder={"type": "Sequence", "decoders": replacing("a", "aa", 40)["normalizers"]}
        ),
        NOT_LLAMA + "its decoder",
    ),
    "a text that is a number": (
        lambda t: t.update(normalizer=replacing("a", 7)),
        NOT_LLAMA + "its normalizer",
    ),
    "a type that is a list": (
        lambda t: t.update(normalizer={"type": []}),
        NOT_LLAMA + "its normalizer",
    ),
    "a thousand tokens in front": (
        lambda t: t["post_processor"].update(
            single=[{"SpecialToken": {"id": "<s>", "type_id": 0}}] * 1000
        ),
        NOT_LLAMA + "its post_processor",
    ),
    "a pattern that takes for ever": (
        lambda t: t.update(
            pre_tokenizer={
                "type": "Split",
                "pattern": EXPLODING,
                "behavior": "Isolated",
                "invert": False,
            }
        ),
        NOT_LLAMA + "its pre_tokenizer has a 'Split'; use a checkpoint of",
    ),
    "a pattern that is none": (
        lambda t: t.update(
            normalizer={"type": "Replace", "pattern": {"Regex": "(?<"}, "content": ""}
        ),
        NOT_LLAMA + r"its normalizer has the pattern '\(\?<'; use",
    ),
    "a pattern inside a sequence": (
        lambda t: t.update(
            decoder={
                "type": "Sequence",
                "decoders": [{"type": "Replace", "pattern": EXPLODING, "content": ""}],
            }
        ),
        NOT_LLAMA + r"its decoder has the pattern '\(a\+\)\+\$'; use",
    ),
    "an unknown part": (
        lambda t: t.update(normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
        NOT_LLAMA + "its normalizer has a 'Precompiled'; use",
    ),
    "another model": (
        lambda t: t["model"].update(type="WordPiece"),
        NOT_LLAMA + "its model is not a BPE; use",
    ),
    "a model that is text": (
        lambda t: t.update(model="BPE"),
        NOT_LLAMA + "its model is not a BPE; use",
    ),
    "a part that is a number": (lambda t: t.update(normalizer=7), DOES_NOT_LOAD),
    "merges that are left out at random": (
        lambda t: t["model"].update(dropout=0.1),
        NOT_LLAMA + r"its model has dropout 0\.1; use",
    ),
    "merges that are all left out": (
        lambda t: t["model"].update(dropout=1),
        NOT_LLAMA + "its model has dropout 1; use",
    ),
    "a share of merges that is no number": (
        lambda t: t["model"].update(dropout="x" * 10**5),
        NOT_LLAMA + "its model has dropout 'x+; use",
    ),
    "parts of words that are other tokens": (
        lambda t: t["model"].update(continuing_subword_prefix="##"),
        NOT_LLAMA + "its model has continuing_subword_prefix '##'; use",
    ),
    "ends of words that are other tokens": (
        lambda t: t["model"].update(end_of_word_suffix="</w>"),
        NOT_LLAMA + "its model has end_of_word_suffix '</w>'; use",
    ),
    "a page in front of each text": (
        lambda t: t.update(normalizer={"type": "Prepend", "prepend": "x" * 8000}),
        NOT_LLAMA + "its normalizer puts a text in front of each; use",
    ),
    "a token without a row": (
        lambda t: t["model"]["vocab"].update({"▁is": 4_000_000_000}),
        NOT_LLAMA,
    ),
    "two tokens of one row": (lambda t: t["model"]["vocab"].update({"▁is": 7}), NOT_LLAMA),
    "a token that is half a number": (
        lambda t: t["model"]["vocab"].update({"▁is": 7.5}),
        "checkpoint",
    ),
    "a token in front without a row": (
        lambda t: t["post_processor"].update(
            special_tokens={"<s>": {"id": "<s>", "ids": [4_000_000_000], "tokens": ["<s>"]}}
        ),
        NOT_LLAMA,
    ),
    "many tokens in front": (
        lambda t: t["post_processor"].update(
            special_tokens={"<s>": {"id": "<s>", "ids": [1] * 99, "tokens": ["<s>"] * 99}}
        ),
        NOT_LLAMA,
    ),
    "a text that is repeated": (
        lambda t: t["post_processor"].update(
            single=[
                {"SpecialToken": {"id": "<s>", "type_id": 0}},
                *[{"Sequence": {"id": "A", "type_id": 0}}] * 60,
            ]
        ),
        NOT_LLAMA,
    ),
    "many added tokens": (
        lambda t: t["added_tokens"].extend(
            {**t["added_tokens"][0], "id": number, "content": f"<{number}>"}
            for number in range(1000, 3000)
        ),
        NOT_LLAMA,
    ),
    "no vocabulary": (
        lambda t: t["model"].update(vocab=None),
        NOT_LLAMA + "its vocabulary is not numbered from 0 on; use",
    ),
    "a merge of nothing": (
        lambda t: t["model"].update(merges=[["nothing", "here"]]),
        DOES_NOT_LOAD + "`nothing`",
    ),
    "an added token of nothing": (
        lambda t: t["added_tokens"].append({"id": 2**10, "content": ""}),
        NOT_LLAMA + "an added token has no text, or no usual number; use",
    ),
    "an added token with a huge number": (
        lambda t: t["added_tokens"].append({"id": 1_000_000, "content": "x"}),
        NOT_LLAMA + "an added token has no text, or no usual number; use",
    ),
    "an added token with a number below none": (
        lambda t: t["added_tokens"].append({"id": -1, "content": "x"}),
        NOT_LLAMA + "an added token has no text, or no usual number; use",
    ),
    "an added token of a page": (
        lambda t: t["added_tokens"].append({"id": 2**10, "content": "x" * 1001}),
        NOT_LLAMA + "an added token has no text, or no usual number; use",
    ),
    "added tokens that are no list": (
        lambda t: t.update(added_tokens={"id": 2**10, "content": "x"}),
        NOT_LLAMA + "an added token has no text, or no usual number; use",
    ),
    "a long text to remove": (
        lambda t: t.update(
            normalizer={"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 100_000}
        ),
        NOT_LLAMA + "its normalizer has 100,062 characters; use",
    ),
}


@pytest.mark.parametrize(("change", "reason"), PARTS.values(), ids=PARTS)
def test_a_tokenizer_that_is_no_llamas_is_refused_in_a_sentence(
    change: Change, reason: str, folder: Path
) -> None:
    change_json(folder / "tokenizer.json", change)
    with pytest.raises(DataError, match=reason) as refused:
        load_tokenizer(folder)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("share", [None, 0, 0.0])
def test_a_tokenizer_that_leaves_no_merge_out_is_taken(share: float | None, folder: Path) -> None:
    change_json(folder / "tokenizer.json", lambda t: t["model"].update(dropout=share))
    assert load_tokenizer(folder)("Is it sharp?").input_ids


def test_a_model_whose_type_is_not_said_is_a_bpe(folder: Path) -> None:
    """So older versions of the library have written it."""
    change_json(folder / "tokenizer.json", lambda t: t["model"].pop("type"))
    assert load_tokenizer(folder)("Is it sharp?").input_ids


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize(
    "content", ["[" * 100_000, "[]", '{"a":' * 100_000, "{", "\x00"], ids=range(5)
)
def test_a_file_that_is_no_object_is_refused_in_a_sentence(
    name: str, content: str, folder: Path
) -> None:
    (folder / name).write_text(content)
    with pytest.raises(DataError, match=name):
        load_tokenizer(folder)


def test_a_file_that_is_too_large_is_not_read(folder: Path) -> None:
    os.truncate(folder / "tokenizer.json", 10 << 30)
    with pytest.raises(DataError, match=r"tokenizer\.json"):
        load_tokenizer(folder)


def test_what_is_not_needed_of_a_configuration_is_not_read(folder: Path, tmp_path: Path) -> None:
    def change(config: dict[str, Any]) -> None:
        config |= {
            "auto_map": {"AutoTokenizer": ["some/repo--evil.T", None]},
            "chat_template": "{{ cycler.__init__.__globals__ }}",
            "tokenizer_file": "/etc/passwd",
            "vocab_file": "/etc/passwd",
            "evil": 1,
        }

    change_json(folder / "tokenizer_config.json", change)
    (folder / "evil.py").write_text("raise SystemExit('code ran')")
    (folder / "chat_template.jinja").write_text("{{ 1 }}")
    (folder / "config.json").write_text(
        '{"model_type": "t5", "auto_map": {"AutoConfig": "evil.C"}}'
    )
    tokenizer = load_tokenizer(folder)
    assert tokenizer.chat_template is None
    tokenizer.save_pretrained(tmp_path / "again")
    written = "".join(p.read_text("utf-8") for p in (tmp_path / "again").glob("*.json"))
    assert "evil" not in written
    assert "/etc/passwd" not in written


@pytest.mark.parametrize("name", ["PreTrainedTokenizerEvil", "BertTokenizer", "../x", 7])
def test_another_class_is_refused(name: object, folder: Path) -> None:
    change_json(folder / "tokenizer_config.json", lambda c: c.update(tokenizer_class=name))
    with pytest.raises(DataError, match="tokenizer_class"):
        load_tokenizer(folder)


CONFIG_FIELDS = (
    *("bos_token", "eos_token", "unk_token", "add_bos_token", "added_tokens_decoder", "backend"),
    *("additional_special_tokens", "extra_special_tokens", "legacy", "model_max_length"),
    *("padding_side", "clean_up_tokenization_spaces", "processor_class", "tokenizer_class"),
)


@pytest.mark.parametrize("value", [{"a": {}}, [[]], 1.5e300, "a" * 2000], ids=range(4))
@pytest.mark.parametrize("field", CONFIG_FIELDS)
def test_a_field_of_another_type_is_refused_in_a_sentence(
    field: str, value: object, folder: Path
) -> None:
    change_json(folder / "tokenizer_config.json", lambda config: config.update({field: value}))
    with pytest.raises(DataError, match=f"tokenizer_config.json .*{field}"):
        load_tokenizer(folder)


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("special_tokens_map.json", {"bos_token": 7}),
        ("special_tokens_map.json", {"additional_special_tokens": "<s>"}),
        ("added_tokens.json", {"<image>": 2**40}),
        ("added_tokens.json", {"": 7}),
        ("added_tokens.json", {f"<{number}>": number for number in range(2000)}),
        ("special_tokens_map.json", {"additional_special_tokens": ["<s>"] * 2000}),
        ("added_tokens.json", {"<image>": [7]}),
    ],
)
def test_so_it_is_in_the_files_beside_it(
    name: str, document: dict[str, object], folder: Path
) -> None:
    (folder / name).write_text(json.dumps(document), "utf-8")
    with pytest.raises(DataError, match=name):
        load_tokenizer(folder)


def pieces(model: Any, texts: list[str], kind: int) -> None:
    for text in texts:
        model.pieces.add(piece=text, score=-1.0, type=kind)


PIECES: dict[str, Callable[[Any], None]] = {
    "a long piece": lambda model: pieces(model, ["a" * 20_000], 1),
    "many pieces that are whole tokens": lambda model: pieces(
        model, [f"<{number}>" for number in range(2000)], 4
    ),
    "more bytes than any": lambda model: setattr(
        model.normalizer_spec, "precompiled_charsmap", bytes(10 << 20)
    ),
}


@pytest.mark.parametrize("change", PIECES.values(), ids=PIECES)
def test_a_sentencepiece_model_that_is_no_llamas_is_refused(
    change: Callable[[Any], None], tmp_path: Path
) -> None:
    """A piece of a million characters would be cut at each of them, for hours."""
    write_tiny_tokenizer(tmp_path, ["Is it sharp?", "Yes, it is."] * 20)
    path = tmp_path / "tokenizer.model"
    kinds: Any = sentencepiece_model_pb2
    model = kinds.ModelProto.FromString(path.read_bytes())
    load_tokenizer(tmp_path)
    change(model)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(DataError, match=r"tokenizer\.model"):
        load_tokenizer(tmp_path)


def test_what_is_no_sentencepiece_model_is_refused(tmp_path: Path) -> None:
    write_tiny_tokenizer(tmp_path, ["Is it sharp?", "Yes, it is."] * 20)
    (tmp_path / "tokenizer.model").write_bytes(b"\xff" * 100)
    with pytest.raises(DataError, match="no sentencepiece model"):
        load_tokenizer(tmp_path)
