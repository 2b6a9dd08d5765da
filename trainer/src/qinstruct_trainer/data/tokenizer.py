"""The tokenizer of a checkpoint, loaded and probed before anything is encoded with it."""

import tempfile
from pathlib import Path

from transformers import AutoTokenizer
from transformers.tokenization_utils_tokenizers import PreTrainedTokenizerFast

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.tokenizer_files import copy_tokenizer

Tokenizer = PreTrainedTokenizerFast
_PROBE = "What is in this image?"


def load_tokenizer(folder: Path) -> Tokenizer:
    """Load a Llama tokenizer from a checkpoint's folder; no network, no code of the checkpoint's.

    Only the tokenizer's own files are read, and of these what a Llama's has: beside a config.json
    the library would look for the classes that it names.

    Raises:
        DataError: there is none, or one that would silently encode something else than the
            published code: without `<s>` in front (a tokenizer.json without post-processor), or
            without an end token.
    """
    with tempfile.TemporaryDirectory() as copy:
        copy_tokenizer(folder, Path(copy))
        try:
            tokenizer = AutoTokenizer.from_pretrained(
                copy, local_files_only=True, trust_remote_code=False
            )
            begin = tokenizer(_PROBE).input_ids[:1]
        except BaseException as error:
            # A panic of the tokenizers' Rust is no Exception.
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            reason = " ".join(str(error).replace(copy, str(folder)).split())
            raise DataError(
                f"{folder} has no tokenizer that loads ({type(error).__name__}: {reason:.200}); a "
                "checkpoint folder needs tokenizer.model or tokenizer.json, and "
                "tokenizer_config.json"
            ) from error
    if not isinstance(tokenizer, Tokenizer):
        raise DataError(
            f"{folder} has a {type(tokenizer).__name__}, not a Llama tokenizer; use a checkpoint "
            "of the LLaVA-v1.5 or Vicuna-v1.5 family"
        )
    if tokenizer.eos_token_id is None or tokenizer.bos_token_id is None:
        raise DataError(
            f"the tokenizer in {folder} has no begin or end token; "
            "tokenizer_config.json must name bos_token and eos_token"
        )
    if begin != [tokenizer.bos_token_id]:
        raise DataError(
            f"the tokenizer in {folder} does not begin a text with {tokenizer.bos_token}; "
            "its tokenizer.json lacks the post_processor that adds it"
        )
    return tokenizer
