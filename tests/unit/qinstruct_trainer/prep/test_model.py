"""What the tiny model's tokenizer is trained on: records as they will be encoded."""

import json
from pathlib import Path

from transformers import AutoTokenizer

from qinstruct_trainer.builtin.tokenizer import write_tiny_tokenizer
from qinstruct_trainer.data.conversation import END_TOKEN, IMAGE_TOKEN, SYSTEM
from qinstruct_trainer.prep.model import read_texts
from support.model.builtin import read_array, write_small_builtin


def test_the_tiny_tokenizer_knows_the_prompt_by_its_words(tmp_path: Path) -> None:
    """In syllables the prompt, which every record begins with, would be half of all tokens."""
    data = write_small_builtin(tmp_path / "data")
    records = tmp_path / "records.jsonl"
    records.write_text("".join(f"{json.dumps(one)}\n" for one in read_array(data / "labels.json")))
    texts = list(read_texts(records))
    assert not [text for text in texts if IMAGE_TOKEN in text or END_TOKEN in text or not text]

    write_tiny_tokenizer(tmp_path / "tokenizer", texts)

    pieces = AutoTokenizer.from_pretrained(tmp_path / "tokenizer").tokenize(SYSTEM)
    num_signs = sum(not sign.isalnum() and sign != " " for sign in SYSTEM)
    assert len(pieces) <= len(SYSTEM.split()) + num_signs + 1  # the s of user's
