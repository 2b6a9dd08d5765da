"""The way back: a checkpoint of the hub layout in the layout of the original LLaVA.

Its configuration is made anew from the fields that are known, as on the way here: this project
trains one variant of LLaVA, whose settings are the published ones.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import LlavaConfig

from qinstruct_trainer.data.tokenizer import Tokenizer
from qinstruct_trainer.durable_files import delete_tree, sync_path, sync_tree
from qinstruct_trainer.model.configuration import LLAVA_V15, read_hub_config
from qinstruct_trainer.model.convert import (
    MAX_SHARD_BYTES,
    Piece,
    Progress,
    check_tensors,
    collect,
    write_shards,
)
from qinstruct_trainer.model.llava import sane_generation_config
from qinstruct_trainer.model.original_checks import (
    CONFIG,
    TOKENIZER,
    check_place,
    partial_of,
    read_model,
)
from qinstruct_trainer.model.parameter_names import (
    EMBEDDING,
    HEAD,
    HUB,
    TO_LLAVA,
    TOWER,
    hub_shapes,
    rename,
)
from qinstruct_trainer.model.processing import add_tokens, read_tokenizer
from qinstruct_trainer.model.tensors import open_checkpoint
from qinstruct_trainer.storage_errors import storage_errors

_MODEL_MAX_LENGTH = 2048
_PAD = 0  # the original pads with <unk>
_SPECIAL = ("bos_token", "eos_token", "unk_token")


def write_original(
    source: Path,
    folder: Path,
    *,
    vision_tower: str,
    with_tower: bool = True,
    progress: Progress,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> None:
    """Write a checkpoint of the hub layout as LLaVA's own code reads it.

    Weights are safetensors, which that code reads too: nothing in them can be run. The rows of
    `<image>` and `<pad>`, which the original does not have, are left out. The folder appears
    when it is whole.

    Args:
        source: A finished model, or any LLaVA-v1.5 in the hub layout with its tokenizer.model.
        folder: A path that is free.
        vision_tower: What config.json names as CLIP; LLaVA loads it from there.
        with_tower: Whether to write the tower's weights too, as LLaVA's own training does.
        progress: Called with the bytes of weights written and to be written.
        max_shard_bytes: Largest weight file.

    Raises:
        ConfigError: the folder is there already.
        DataError: the source is no LLaVA-v1.5, or its files are incomplete.
        StorageError: the folder cannot be written.
    """
    check_place(source, folder)
    config, tokenizer = _read(source)
    pieces = _pieces(source, config, with_tower=with_tower)
    partial = partial_of(folder)
    with storage_errors(f"the model {folder}"):
        delete_tree(partial)  # of an attempt that was killed
        partial.mkdir(parents=True)
        try:
            write_shards(pieces, partial, progress=progress, max_shard_bytes=max_shard_bytes)
            _write_json(partial / CONFIG, original_config(config, vision_tower))
            generation = sane_generation_config(config)
            generation.pad_token_id = _PAD
            generation.save_pretrained(partial)
            _write_tokenizer(partial, tokenizer, source)
            sync_tree(partial)
            partial.rename(folder)
            sync_path(folder.parent)
        finally:
            delete_tree(partial)


def original_config(config: LlavaConfig, vision_tower: str) -> dict[str, Any]:
    """config.json of the original LLaVA-v1.5 (its llava/model/language_model/llava_llama.py)."""
    text: Any = config.get_text_config()
    vision: Any = config.vision_config
    rope = text.rope_parameters
    is_scaled = rope["rope_type"] != "default"
    return {
        **LLAVA_V15,
        "architectures": ["LlavaLlamaForCausalLM"],
        "model_type": "llava_llama",
        "vocab_size": config.image_token_index,
        "hidden_size": text.hidden_size,
        "intermediate_size": text.intermediate_size,
        "num_hidden_layers": text.num_hidden_layers,
        "num_attention_heads": text.num_attention_heads,
        "num_key_value_heads": text.num_key_value_heads,
        "hidden_act": text.hidden_act,
        "max_position_embeddings": text.max_position_embeddings,
        "initializer_range": text.initializer_range,
        "rms_norm_eps": text.rms_norm_eps,
        "rope_theta": rope["rope_theta"],
        "rope_scaling": {"type": rope["rope_type"], "factor": rope["factor"]}
        if is_scaled
        else None,
        "bos_token_id": text.bos_token_id,
        "eos_token_id": text.eos_token_id,
        "pad_token_id": _PAD,
        "tie_word_embeddings": False,
        "use_cache": True,
        "torch_dtype": str(config.dtype or "float16").removeprefix("torch."),
        "mm_vision_tower": vision_tower,
        "mm_hidden_size": vision.hidden_size,
        "mm_patch_merge_type": "flat",
        "mm_use_im_patch_token": False,
        "use_mm_proj": True,
        "image_aspect_ratio": "pad",
        "freeze_mm_mlp_adapter": False,
        "tune_mm_mlp_adapter": False,
        "tokenizer_model_max_length": _MODEL_MAX_LENGTH,
        "tokenizer_padding_side": "right",
    }


def _read(source: Path) -> tuple[LlavaConfig, Tokenizer]:
    document = read_model(source)
    tokenizer = read_tokenizer(source)
    add_tokens(tokenizer)
    return read_hub_config(document, tokenizer), tokenizer


def _pieces(source: Path, config: LlavaConfig, *, with_tower: bool) -> list[Piece]:
    shapes = hub_shapes(config)
    found = collect([(open_checkpoint(source), HUB)])
    check_tensors(found, shapes)
    rows = dict.fromkeys((EMBEDDING, HEAD), config.image_token_index)
    return [
        Piece(str(rename(name, TO_LLAVA)), found[name], rows.get(name, shape[0]))
        for name, shape in shapes.items()
        if with_tower or not name.startswith(TOWER)
    ]


def _write_tokenizer(folder: Path, tokenizer: Tokenizer, source: Path) -> None:
    """The slow tokenizer's files, without the two tokens that the hub layout adds."""
    shutil.copyfile(source / TOKENIZER, folder / TOKENIZER)
    tokens = {name: str(getattr(tokenizer, name)) for name in _SPECIAL}
    special = {**tokens, "pad_token": tokens["unk_token"]}
    _write_json(folder / "special_tokens_map.json", special)
    settings = {
        "add_bos_token": True,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        "legacy": False,
        "model_max_length": _MODEL_MAX_LENGTH,
        "padding_side": "right",
        "tokenizer_class": "LlamaTokenizer",
    }
    _write_json(folder / "tokenizer_config.json", settings | special)


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", "utf-8")
