"""A small tokenizer in the true Llama format, trained on the text it will be asked to encode."""

import io
import json
from collections.abc import Iterable
from pathlib import Path

from sentencepiece import SentencePieceTrainer

MAX_VOCABULARY = 1000

# The ids of Llama's own vocabulary, on which the recipe relies (pad is no piece of it).
UNK_ID, BOS_ID, EOS_ID = 0, 1, 2

# Without `legacy: false` transformers falls back to the tokenisation of Llama-1, which
# drops the space behind a special token; vicuna-v1.5 sets it too.
_CONFIG = {
    "tokenizer_class": "LlamaTokenizer",
    "legacy": False,
    "add_bos_token": True,
    "add_eos_token": False,
    "unk_token": "<unk>",
    "bos_token": "<s>",
    "eos_token": "</s>",
    "padding_side": "right",
    "model_max_length": 2048,
    "clean_up_tokenization_spaces": False,
}


def write_tiny_tokenizer(folder: Path, texts: Iterable[str]) -> None:
    """Train a sentencepiece BPE vocabulary and write `tokenizer.model` and its config.

    As Llama's: byte fallback (any unicode is representable), digits apart, a dummy prefix, no
    normalisation. At most `MAX_VOCABULARY` pieces; fewer if the text has fewer. The same
    texts in the same order give the same bytes.
    """
    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        model_type="bpe",
        vocab_size=MAX_VOCABULARY,
        hard_vocab_limit=False,
        byte_fallback=True,
        character_coverage=1.0,
        normalization_rule_name="identity",
        add_dummy_prefix=True,
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
        split_digits=True,
        unk_id=UNK_ID,
        bos_id=BOS_ID,
        eos_id=EOS_ID,
        pad_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.model").write_bytes(model.getvalue())
    (folder / "tokenizer_config.json").write_text(json.dumps(_CONFIG, indent=2) + "\n", "utf-8")
