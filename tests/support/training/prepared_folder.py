"""A prepared folder that trains in seconds: a few dozen records, images and a tiny LLaVA."""

from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.torch import save_file
from transformers import LlavaForConditionalGeneration

from qinstruct_trainer.contract.config import Prepared
from qinstruct_trainer.data.image_tokens import TokenizedRecord
from qinstruct_trainer.data.index.writer import IndexWriter
from qinstruct_trainer.model.llava import sane_generation_config
from qinstruct_trainer.model.parameter_names import hub_name
from support.model.tiny import IMAGE_TOKEN, PAD_TOKEN, tiny_model

NUM_RECORDS = 33  # every third one text-only
# Alike in all records, so that the mean of micro-batch means is the mean over the batch.
NUM_SUPERVISED = 4
NUM_STEPS = 15  # of 3 epochs: 5 steps each, the last one filled up


def write_prepared(
    folder: Path,
    *,
    poison: bool = False,
    model: LlavaForConditionalGeneration | None = None,
    questions: int = 1,
) -> Path:
    """Write index, images and model below the folder; the path of prepared.json.

    With `poison`, one weight of the projector is NaN, as in a checkpoint that has gone bad. Of so
    many records in turn as `questions` says, those with an image have the same one.
    """
    model = model or tiny_model()
    num_patches = model.config.image_seq_length
    rng = np.random.default_rng(0)
    images = folder / "images"
    images.mkdir(parents=True)
    with IndexWriter(
        folder / "index",
        image_token_id=IMAGE_TOKEN,
        num_image_tokens=num_patches,
        pad_token_id=PAD_TOKEN,
        max_length=124 + num_patches,
        roots=[images],
    ) as index:
        for number in range(NUM_RECORDS):
            has_image = number % 3 != 2
            name = f"{number - number % questions}.png"
            if has_image and not (images / name).exists():
                pixels = rng.integers(0, 256, (20, 30, 3), np.uint8)
                Image.fromarray(pixels).save(images / name)
            words = rng.integers(3, IMAGE_TOKEN, rng.integers(4, 24)).tolist()
            ids = np.array([1, *[IMAGE_TOKEN] * has_image, *words], np.int64)
            labels = np.where(np.arange(len(ids)) < len(ids) - NUM_SUPERVISED, -100, ids)
            num_tokens = len(ids) + (num_patches - 1) * has_image
            index.add(
                TokenizedRecord(ids, labels, num_tokens),
                words=len(words),
                image=(0, name) if has_image else None,
            )
    _write_model(folder / "base", model, poison=poison)
    prepared = Prepared(
        index=folder / "index",
        model=folder / "base",
        gate_report=folder / "report.json",
        num_records=NUM_RECORDS,
    )
    path = folder / "prepared.json"
    path.write_text(prepared.to_json())
    return path


def _write_model(folder: Path, model: LlavaForConditionalGeneration, *, poison: bool) -> None:
    if poison:
        model.model.multi_modal_projector.linear_1.bias.data[0] = float("nan")
    write_checkpoint(folder, model)


def write_checkpoint(folder: Path, model: LlavaForConditionalGeneration) -> None:
    """Write a model in the hub layout, in the precision that it has."""
    folder.mkdir()
    model.config.save_pretrained(folder)
    sane_generation_config(model.config).save_pretrained(folder)
    tensors = {hub_name(name): value for name, value in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
