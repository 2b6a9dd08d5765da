"""A LLaVA of a few thousand parameters, built in memory, and batches for it."""

import torch
from torch import Tensor
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from qinstruct_trainer.data.collate import Batch

IMAGE_TOKEN = 260  # the first row after the text vocabulary
PAD_TOKEN = 261
NUM_PATCHES = 4
IMAGE_SIZE = 28


def tiny_config() -> LlavaConfig:
    return LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=24,
            intermediate_size=40,
            num_hidden_layers=3,
            num_attention_heads=2,
            image_size=IMAGE_SIZE,
            patch_size=14,
            projection_dim=16,
        ),
        text_config=LlamaConfig(
            vocab_size=320,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=128,
            rms_norm_eps=1e-5,
            pad_token_id=PAD_TOKEN,
        ),
        image_token_index=IMAGE_TOKEN,
        image_seq_length=NUM_PATCHES,
    )


def tiny_model(seed: int = 0, attention: str = "eager") -> LlavaForConditionalGeneration:
    """Random weights with a spread that makes every loss and gradient well away from zero."""
    config = tiny_config()
    config._attn_implementation = attention
    model = LlavaForConditionalGeneration(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in model.parameters():
            value.copy_(0.2 * torch.randn(value.shape, generator=generator))
    return model


def sample(
    words: list[int], *, image: bool, supervised: int, num_image_tokens: int = NUM_PATCHES
) -> tuple[list[int], list[int]]:
    """Ids and labels: BOS, the image run if any, the words; the last `supervised` are learnt."""
    ids = [1, *([IMAGE_TOKEN] * num_image_tokens if image else []), *words]
    hidden = len(ids) - supervised
    return ids, [-100] * hidden + ids[hidden:]


def batch_of(samples: list[tuple[list[int], list[int]]], pixels: Tensor, pad_to: int = 0) -> Batch:
    length = max(pad_to, *(len(ids) for ids, _ in samples))
    rows = [(ids, labels, length - len(ids)) for ids, labels in samples]
    input_ids = torch.tensor([ids + [PAD_TOKEN] * pad for ids, _, pad in rows])
    image_mask = input_ids == IMAGE_TOKEN
    return Batch(
        input_ids=input_ids,
        labels=torch.tensor([labels + [-100] * pad for _, labels, pad in rows]),
        attention_mask=torch.tensor([[1] * len(ids) + [0] * pad for ids, _, pad in rows]),
        image_mask=image_mask,
        pixel_values=pixels,
        image_lengths=image_mask.sum(dim=1),
        num_tokens=sum(len(ids) for ids, _ in samples),
    )


def pixels_for(images: list[bool], seed: int = 0) -> Tensor:
    """[B, 3, size, size] noise, zeros where a sample has no image."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn((len(images), 3, IMAGE_SIZE, IMAGE_SIZE), generator=generator)
    return noise * torch.tensor(images, dtype=torch.float32).view(-1, 1, 1, 1)
