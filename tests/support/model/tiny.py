"""A LLaVA of a few thousand parameters, built in memory, and batches for it."""

from typing import NamedTuple

import torch
from torch import Tensor
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from qinstruct_trainer.contract.config import Attention
from qinstruct_trainer.data.collate import Batch
from qinstruct_trainer.model.attention import implementations

IMAGE_TOKEN = 260  # the first row after the text vocabulary
PAD_TOKEN = 261
NUM_PATCHES = 4
IMAGE_SIZE = 28


def tiny_config(head_size: int | None = None) -> LlavaConfig:
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
            head_dim=head_size,
            max_position_embeddings=128,
            rms_norm_eps=1e-5,
            pad_token_id=PAD_TOKEN,
        ),
        image_token_index=IMAGE_TOKEN,
        image_seq_length=NUM_PATCHES,
    )


def tiny_model(
    seed: int = 0, attention: Attention = "eager", head_size: int | None = None
) -> LlavaForConditionalGeneration:
    """Random weights with a spread that makes every loss and gradient well away from zero."""
    config = tiny_config(head_size)
    config._attn_implementation = implementations(attention)
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


Samples = list[tuple[list[int], list[int]]]


def batch_of(samples: Samples, pixels: Tensor) -> Batch:
    """Each sample shows one image at most, in one run; a row of `pixels` belongs to each."""
    ids = [each for sample_ids, _ in samples for each in sample_ids]
    lengths = tuple(len(sample_ids) for sample_ids, _ in samples)
    starts = [sum(lengths[:n]) for n in range(len(lengths) + 1)]
    shown = [
        (image, patch)
        for image, (sample_ids, _) in enumerate(samples)
        for patch in range(sample_ids.count(IMAGE_TOKEN))
    ]
    learnt = [
        (start + place - 1, label)
        for start, (_, labels) in zip(starts, samples, strict=False)
        for place, label in enumerate(labels)
        if place > 0 and label != -100
    ]
    return Batch(
        input_ids=torch.tensor(ids),
        positions=torch.cat([torch.arange(length) for length in lengths]),
        lengths=lengths,
        starts=torch.tensor(starts, dtype=torch.int32),
        pixel_values=pixels,
        image_places=torch.tensor([n for n, each in enumerate(ids) if each == IMAGE_TOKEN]).long(),
        shown=torch.tensor(shown).long().reshape(-1, 2).T,
        learnt=torch.tensor([place for place, _ in learnt]).long(),
        targets=torch.tensor([label for _, label in learnt]).long(),
    )


class Padded(NamedTuple):
    """What the published code makes of samples: each [B, T], padded on the right."""

    input_ids: Tensor
    labels: Tensor
    attention_mask: Tensor


def padded(samples: Samples) -> Padded:
    length = max(len(ids) for ids, _ in samples)
    rows = [(ids, labels, length - len(ids)) for ids, labels in samples]
    return Padded(
        torch.tensor([ids + [PAD_TOKEN] * pad for ids, _, pad in rows]),
        torch.tensor([labels + [-100] * pad for _, labels, pad in rows]),
        torch.tensor([[1] * len(ids) + [0] * pad for ids, _, pad in rows]),
    )


def pixels_for(images: list[bool], seed: int = 0) -> Tensor:
    """[B, 3, size, size] noise, zeros where a sample has no image."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn((len(images), 3, IMAGE_SIZE, IMAGE_SIZE), generator=generator)
    return noise * torch.tensor(images, dtype=torch.float32).view(-1, 1, 1, 1)
