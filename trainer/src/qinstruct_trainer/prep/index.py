"""Merged records to the token index that training opens: tokenised once, here."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.encode import image_token_id, tokenize_record
from qinstruct_trainer.data.index.writer import IndexWriter
from qinstruct_trainer.data.tokenizer import load_tokenizer
from qinstruct_trainer.model.configuration import open_config
from qinstruct_trainer.prep.images import find_image
from qinstruct_trainer.prep.merge import read_records
from qinstruct_trainer.prep.progress import Progress

_MAX_UNSUPERVISED = 0.001  # share of records that may have nothing to learn, e.g. cut by length


def write_index(
    records: Path,
    model: Path,
    roots: Sequence[Path],
    folder: Path,
    progress: Progress,
    *,
    max_length: int,
) -> None:
    """Encode every record with the model's tokenizer.

    Args:
        records: The merged JSON lines.
        model: Starting checkpoint; its tokenizer and the patches of its vision tower count.
        roots: Folders that an image may be in; the first that has it is taken.
        folder: Where the index goes.
        progress: Counts the records done.
        max_length: Longest sequence in tokens, image included.

    Raises:
        DataError: a record cannot be encoded, or more than one in a thousand has no label left,
            which would vanish from the loss unnoticed.
    """
    tokenizer = load_tokenizer(model)
    num_image_tokens = _num_image_tokens(model)
    pad_token_id = tokenizer.pad_token_id
    writer = IndexWriter(
        folder,
        image_token_id=image_token_id(tokenizer),
        num_image_tokens=num_image_tokens,
        pad_token_id=tokenizer.eos_token_id if pad_token_id is None else pad_token_id,
        max_length=max_length,
        roots=roots,
    )
    unsupervised: list[str] = []
    with writer:
        for record in read_records(records):
            tokens = tokenize_record(record, tokenizer, num_image_tokens, max_length=max_length)
            if (tokens.labels < 0).all():
                unsupervised.append(record.id)
            image = None if record.image is None else (_root_of(record.image, roots), record.image)
            writer.add(tokens, words=record.num_words, image=image)
            progress.add()
    if len(unsupervised) > _MAX_UNSUPERVISED * progress.done:
        raise DataError(
            f"{len(unsupervised)} of {progress.done} records have nothing to learn within "
            f"{max_length} tokens, first id {unsupervised[0]!r:.80}; "
            "raise training.maxLength or correct the records"
        )
    progress.finish()


def _root_of(image: str, roots: Sequence[Path]) -> int:
    number = find_image(image, roots)
    if number is None:
        raise DataError(f"image {image} vanished after the gate; delete the cache and run again")
    return number


def _num_image_tokens(model: Path) -> int:
    vision: Any = open_config(model).vision_config
    return int(vision.image_size // vision.patch_size) ** 2
