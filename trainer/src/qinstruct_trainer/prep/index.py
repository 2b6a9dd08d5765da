"""Merged records to the token index that training opens: tokenised once, here."""

from collections.abc import Sequence
from pathlib import Path

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.index.writer import IndexWriter
from qinstruct_trainer.data.text_encoder import read_token_ids
from qinstruct_trainer.json_files import read_json
from qinstruct_trainer.model.config_fields import HubFields, HubVisionFields
from qinstruct_trainer.prep.progress import Progress
from qinstruct_trainer.prep.tokenized import Encoding, tokenize_all

_MAX_UNSUPERVISED = 0.001  # share of records that may have nothing to learn, e.g. cut by length


def write_index(
    records: Path,
    model: Path,
    roots: Sequence[Path],
    folder: Path,
    progress: Progress,
    *,
    max_length: int,
    num_processes: int | None = None,
) -> None:
    """Encode every record with the model's tokenizer.

    Args:
        records: The merged JSON lines.
        model: Starting checkpoint; its tokenizer and the patches of its vision tower count.
        roots: Folders that an image may be in; the first that has it is taken.
        folder: Where the index goes.
        progress: Counts the records done.
        max_length: Longest sequence in tokens, image included.
        num_processes: See `tokenize_all`.

    Raises:
        DataError: a record cannot be encoded, or more than one in a thousand has no label left,
            which would vanish from the loss unnoticed.
    """
    ids = read_token_ids(model)
    encoding = Encoding(model, _num_image_tokens(model), max_length, tuple(roots))
    writer = IndexWriter(
        folder,
        image_token_id=ids.image,
        num_image_tokens=encoding.num_image_tokens,
        pad_token_id=ids.pad,
        max_length=max_length,
        roots=roots,
    )
    num_unsupervised, first_unsupervised = 0, ""
    with writer:
        for part in tokenize_all(records, encoding, num_processes):
            if part.unsupervised:
                first_unsupervised = first_unsupervised or part.unsupervised[0]
                num_unsupervised += len(part.unsupervised)
            writer.add_block(part.block)
            progress.add(len(part.block.rows))
    if num_unsupervised > _MAX_UNSUPERVISED * progress.done:
        raise DataError(
            f"{num_unsupervised} of {progress.done} records have nothing to learn within "
            f"{max_length} tokens, first id {first_unsupervised!r:.80}; "
            "raise training.maxLength or correct the records"
        )
    progress.finish()


def _num_image_tokens(model: Path) -> int:
    owner = f"checkpoint {model}"
    document = read_json(model / "config.json")
    vision = HubVisionFields.read(HubFields.read(document, owner).vision_config, owner)
    if not vision.image_size or not vision.patch_size or vision.patch_size > vision.image_size:
        raise DataError(
            f"config.json of the {owner} has no usual size of images and patches; remove that "
            "folder and run prep again"
        )
    return int(vision.image_size // vision.patch_size) ** 2
