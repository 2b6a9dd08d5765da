"""Miniatures of the published checkpoints in their true file formats and names.

The names are spelled out here once more, independently of the code under test.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from sentencepiece import SentencePieceProcessor
from torch import Tensor

from qinstruct_trainer.builtin.tokenizer import write_tiny_tokenizer
from qinstruct_trainer.contract.config import ModelSource
from qinstruct_trainer.prep.model import build_model

HIDDEN, FFN, LAYERS = 32, 48, 2
VISION_HIDDEN, VISION_FFN, VISION_LAYERS = 24, 40, 3
IMAGE_SIZE, PATCH = 28, 14
TEXTS = ["USER: is this image clear ? ASSISTANT: the noise is low .", "a b c d e f g h i j k"] * 20

Tensors = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]


def _random(shapes: Shapes, seed: int, dtype: torch.dtype) -> Tensors:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: (0.2 * torch.randn(shape, generator=generator)).to(dtype)
        for name, shape in shapes.items()
    }


def _llama_shapes(num_tokens: int, layers: int = LAYERS) -> Shapes:
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (num_tokens, HIDDEN)}
    for layer in range(layers):
        prefix = f"model.layers.{layer}"
        for part in "qkvo":
            shapes[f"{prefix}.self_attn.{part}_proj.weight"] = (HIDDEN, HIDDEN)
        shapes[f"{prefix}.mlp.gate_proj.weight"] = (FFN, HIDDEN)
        shapes[f"{prefix}.mlp.up_proj.weight"] = (FFN, HIDDEN)
        shapes[f"{prefix}.mlp.down_proj.weight"] = (HIDDEN, FFN)
        shapes[f"{prefix}.input_layernorm.weight"] = (HIDDEN,)
        shapes[f"{prefix}.post_attention_layernorm.weight"] = (HIDDEN,)
    shapes["model.norm.weight"] = (HIDDEN,)
    shapes["lm_head.weight"] = (num_tokens, HIDDEN)
    return shapes


def llama_tensors(num_tokens: int) -> Tensors:
    return _random(_llama_shapes(num_tokens), 1, torch.float16)


def _projector_shapes() -> Shapes:
    return {
        "model.mm_projector.0.weight": (HIDDEN, VISION_HIDDEN),
        "model.mm_projector.0.bias": (HIDDEN,),
        "model.mm_projector.2.weight": (HIDDEN, HIDDEN),
        "model.mm_projector.2.bias": (HIDDEN,),
    }


def projector_tensors() -> Tensors:
    return _random(_projector_shapes(), 2, torch.bfloat16)


def tower_tensors() -> Tensors:
    """Names start at `vision_model.`."""
    width, patches = VISION_HIDDEN, (IMAGE_SIZE // PATCH) ** 2
    shapes: dict[str, tuple[int, ...]] = {
        "vision_model.embeddings.class_embedding": (width,),
        "vision_model.embeddings.patch_embedding.weight": (width, 3, PATCH, PATCH),
        "vision_model.embeddings.position_embedding.weight": (patches + 1, width),
    }
    for norm in ("pre_layrnorm", "post_layernorm"):
        shapes |= {f"vision_model.{norm}.{kind}": (width,) for kind in ("weight", "bias")}
    for layer in range(VISION_LAYERS):
        prefix = f"vision_model.encoder.layers.{layer}"
        for part in "qkv":
            shapes[f"{prefix}.self_attn.{part}_proj.weight"] = (width, width)
            shapes[f"{prefix}.self_attn.{part}_proj.bias"] = (width,)
        shapes[f"{prefix}.self_attn.out_proj.weight"] = (width, width)
        shapes[f"{prefix}.self_attn.out_proj.bias"] = (width,)
        for norm in ("layer_norm1", "layer_norm2"):
            shapes |= {f"{prefix}.{norm}.{kind}": (width,) for kind in ("weight", "bias")}
        shapes[f"{prefix}.mlp.fc1.weight"] = (VISION_FFN, width)
        shapes[f"{prefix}.mlp.fc1.bias"] = (VISION_FFN,)
        shapes[f"{prefix}.mlp.fc2.weight"] = (width, VISION_FFN)
        shapes[f"{prefix}.mlp.fc2.bias"] = (width,)
    return _random(shapes, 3, torch.float32)


def write_torch(folder: Path, tensors: Tensors, num_shards: int = 1) -> None:
    """`pytorch_model.bin`, or its shards with their index."""
    if num_shards == 1:
        torch.save(tensors, folder / "pytorch_model.bin")
        return
    names = list(tensors)
    weight_map: dict[str, str] = {}
    for shard in range(num_shards):
        file = f"pytorch_model-{shard + 1:05d}-of-{num_shards:05d}.bin"
        part = names[shard::num_shards]
        torch.save({name: tensors[name] for name in part}, folder / file)
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))


def write_llama_files(folder: Path) -> int:
    """Tokenizer and config.json of a Vicuna; the number of tokens."""
    write_tiny_tokenizer(folder, TEXTS)
    model = (folder / "tokenizer.model").read_bytes()
    num_tokens = int(SentencePieceProcessor(model_proto=model).get_piece_size())
    config = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "vocab_size": num_tokens,
        "hidden_size": HIDDEN,
        "intermediate_size": FFN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "max_position_embeddings": 128,
        "rms_norm_eps": 1e-5,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    (folder / "config.json").write_text(json.dumps(config))
    # The file that makes a later save fail in transformers.
    generation = {"temperature": 0.9, "top_p": 0.6, "bos_token_id": 1, "eos_token_id": 2}
    (folder / "generation_config.json").write_text(json.dumps(generation))
    return num_tokens


def write_vicuna(folder: Path) -> Tensors:
    """lmsys/vicuna-*-v1.5: torch shards with the old rotary buffers."""
    folder.mkdir(parents=True)
    tensors = llama_tensors(write_llama_files(folder))
    buffers = {f"model.layers.{i}.self_attn.rotary_emb.inv_freq": torch.ones(4) for i in range(2)}
    write_torch(folder, tensors | buffers, num_shards=2)
    return tensors


def write_projector(folder: Path) -> Tensors:
    """The stage-1 projector: a folder with mm_projector.bin."""
    folder.mkdir(parents=True)
    tensors = projector_tensors()
    torch.save(tensors, folder / "mm_projector.bin")
    return tensors


def write_clip(folder: Path, *, safetensors: bool = False) -> Tensors:
    """openai/clip-vit-large-patch14-336: both towers, position ids, nested config."""
    folder.mkdir(parents=True)
    tower = tower_tensors()
    others = {
        "logit_scale": torch.tensor(2.6),
        "text_model.embeddings.position_ids": torch.arange(7)[None],
        "text_model.embeddings.token_embedding.weight": torch.ones(9, 16),
        "text_projection.weight": torch.ones(16, 16),
        "visual_projection.weight": torch.ones(16, VISION_HIDDEN),
        "vision_model.embeddings.position_ids": torch.arange(5)[None],
    }
    if safetensors:
        save_file(tower | others, folder / "model.safetensors")
    else:
        write_torch(folder, tower | others)
    vision = {
        "hidden_size": VISION_HIDDEN,
        "intermediate_size": VISION_FFN,
        "num_hidden_layers": VISION_LAYERS,
        "num_attention_heads": 2,
        "image_size": IMAGE_SIZE,
        "patch_size": PATCH,
        "projection_dim": 16,
        "model_type": "clip_vision_model",
    }
    document = {"model_type": "clip", "vision_config": vision, "text_config": {"hidden_size": 16}}
    (folder / "config.json").write_text(json.dumps(document))
    return tower


def write_original(folder: Path, *, tower: bool) -> Tensors:
    """liuhaotian/llava-v1.5-*: torch shards in the original names; with or without the tower."""
    folder.mkdir(parents=True)
    tensors = llama_tensors(write_llama_files(folder)) | projector_tensors()
    if tower:
        outer = "model.vision_tower.vision_tower."
        tensors |= {outer + name: value for name, value in tower_tensors().items()}
    write_torch(folder, tensors, num_shards=3)
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "llava",
        "architectures": ["LlavaLlamaForCausalLM"],
        "mm_projector_type": "mlp2x_gelu",
        "mm_vision_select_layer": -2,
        "mm_vision_select_feature": "patch",
        "mm_vision_tower": "openai/clip-vit-large-patch14-336",
        "mm_use_im_start_end": False,
    }
    (folder / "config.json").write_text(json.dumps(config))
    return tensors


def write_original_as(folder: Path, layout: str, dtype: torch.dtype) -> Tensors:
    """The weights of `write_original` once more, of one dtype and in other files."""
    tensors: Tensors = {}
    for file in [*folder.glob("pytorch_model*.bin")]:
        tensors |= torch.load(file, weights_only=True)
        file.unlink()
    (folder / "pytorch_model.bin.index.json").unlink()
    tensors = {name: value.to(dtype) for name, value in tensors.items()}
    if layout == "safetensors":
        save_file(tensors, folder / "model.safetensors")
    else:
        write_torch(folder, tensors, num_shards=2 if layout == "two shards" else 1)
    return tensors


def write_wide_original(folder: Path, *, layers: int, hidden: int) -> None:
    """`write_original` in two bf16 shards, its Llama with the proportions of a large one.

    Its values are drawn a shard at a time.
    """
    folder.mkdir(parents=True)
    ffn = hidden * 8 // 3 // 64 * 64
    num_tokens = write_llama_files(folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "llava", "hidden_size": hidden, "intermediate_size": ffn}
    config |= {"num_hidden_layers": layers, "torch_dtype": "bfloat16"}
    (folder / "config.json").write_text(json.dumps(config))
    sizes = {HIDDEN: hidden, FFN: ffn}
    meta = _llama_shapes(num_tokens, layers) | _projector_shapes()
    shapes = {name: tuple(sizes.get(n, n) for n in shape) for name, shape in meta.items()}
    shapes["model.mm_projector.0.weight"] = (hidden, VISION_HIDDEN)
    tower = {f"model.vision_tower.vision_tower.{name}": v for name, v in tower_tensors().items()}
    names = list(shapes)
    weight_map: dict[str, str] = {}
    for shard, part in enumerate((names[: len(names) // 2], names[len(names) // 2 :]), 1):
        file = f"pytorch_model-{shard:05d}-of-00002.bin"
        tensors = _random({name: shapes[name] for name in part}, shard, torch.bfloat16)
        tensors |= tower if shard == 2 else {}
        torch.save(tensors, folder / file)
        weight_map |= dict.fromkeys(tensors, file)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))


def hub_tensors(num_tokens: int) -> Tensors:
    """All source tensors under the names that the hub layout gives them."""
    renamed = {f"language_model.{name}": value for name, value in llama_tensors(num_tokens).items()}
    for name, value in projector_tensors().items():
        layer = {"0": "linear_1", "2": "linear_2"}[name.split(".")[2]]
        renamed[f"multi_modal_projector.{layer}.{name.split('.')[3]}"] = value
    return renamed | {f"vision_tower.{name}": value for name, value in tower_tensors().items()}


def build(source: ModelSource, folder: Path, max_shard_bytes: int = 1 << 30) -> Path:
    folder.mkdir()
    build_model(
        source,
        folder,
        seed=0,
        texts=TEXTS,
        progress=lambda done, total: None,
        max_shard_bytes=max_shard_bytes,
    )
    return folder


def vicuna(root: Path) -> ModelSource:
    write_vicuna(root / "vicuna")
    write_projector(root / "projector")
    write_clip(root / "clip")
    return ModelSource(
        kind="vicuna",
        base=str(root / "vicuna"),
        projector=f"file://{root}/projector/mm_projector.bin",
        vision_tower=str(root / "clip"),
    )


def original(root: Path, *, tower: bool) -> ModelSource:
    write_original(root / "llava", tower=tower)
    write_clip(root / "clip", safetensors=True)
    return ModelSource(kind="llava", base=f"file://{root}/llava", vision_tower=str(root / "clip"))


def hub(root: Path) -> ModelSource:
    """A llava-hf checkpoint: what we write has that layout, so it is its own miniature."""
    first = root / "first"
    first.mkdir()
    return ModelSource(kind="llava", base=str(build(vicuna(first), root / "hub")))
