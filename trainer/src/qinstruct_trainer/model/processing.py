"""Tokenizer and image processor of the checkpoint that we write."""

import shutil
from pathlib import Path
from typing import Any

from transformers import LlavaConfig, LlavaProcessor

# By its module: the package's plain name is torchvision's variant where that is installed,
# and the pixels must not depend on what is installed.
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.conversation import IMAGE_TOKEN
from qinstruct_trainer.data.encode import text_encoder
from qinstruct_trainer.data.text_encoder import TextEncoder, TokenIds, open_text_encoder
from qinstruct_trainer.data.tokenizer import Tokenizer, load_tokenizer
from qinstruct_trainer.data.tokenizer_files import TOKENIZER_FILES

PAD_TOKEN = "<pad>"


def read_tokenizer(source: Path) -> Tokenizer:
    """The tokenizer of a published checkpoint, as it is.

    Raises:
        DataError: there is none, or it does not load.
    """
    if not any((source / name).is_file() for name in TOKENIZER_FILES[:2]):
        raise DataError(
            f"{source} has neither tokenizer.model nor tokenizer.json; "
            "give the folder of a whole checkpoint"
        )
    return load_tokenizer(source)


def add_tokens(tokenizer: Tokenizer) -> None:
    """Append `<image>` and `<pad>` where they are not there yet, and pad with the latter."""
    tokenizer.add_tokens([IMAGE_TOKEN, PAD_TOKEN], special_tokens=True)
    tokenizer.pad_token = PAD_TOKEN


def write_processing(folder: Path, config: LlavaConfig, tokenizer: Tokenizer, source: Path) -> None:
    """Write the tokenizer, the pad-to-square image processor, and the processor of both.

    Args:
        folder: Of the checkpoint.
        config: Of the checkpoint; gives the edge of image and patch.
        tokenizer: With the two added tokens.
        source: Folder whose tokenizer.model goes along, for tools that want the original.

    Raises:
        DataError: what was written would load as another tokenizer.
    """
    legacy = getattr(tokenizer, "legacy", None)
    if legacy is not None:  # else the library leaves it out, and loads another tokenizer later
        tokenizer.init_kwargs["legacy"] = legacy
    vision: Any = config.vision_config
    size = vision.image_size
    images = LlavaImageProcessorPil(
        do_pad=True,
        size={"shortest_edge": size},
        crop_size={"height": size, "width": size},
    )
    processor = LlavaProcessor(  # type: ignore[no-untyped-call]
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=vision.patch_size,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        num_additional_image_tokens=1,  # the class token, which the strategy drops again
    )
    processor.save_pretrained(folder)
    images.save_pretrained(folder)  # preprocessor_config.json, where older versions look
    if (source / "tokenizer.model").is_file():
        shutil.copyfile(source / "tokenizer.model", folder / "tokenizer.model")
    _check_saved(folder, tokenizer, source)


def _check_saved(folder: Path, tokenizer: Tokenizer, source: Path) -> None:
    """Training, evaluation and other tools see the tokenizer that was given."""
    given, read = text_encoder(tokenizer), open_text_encoder(folder)
    loaded = text_encoder(load_tokenizer(folder))
    if not all(_identity(other) == _identity(given) for other in (read, loaded)):
        raise DataError(
            f"the tokenizer of {source} becomes another one when it is saved; use a checkpoint of "
            "the LLaVA-v1.5 or Vicuna-v1.5 family"
        )


def _identity(encoder: TextEncoder) -> tuple[str, TokenIds]:
    return encoder.backend.to_str(), encoder.ids
