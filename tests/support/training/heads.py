"""A small model with the head sizes, positions and patches of 7B, its batches, a plain pass."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from qinstruct_trainer.contract.config import Precision, Prepared
from qinstruct_trainer.data.collate import Batch
from qinstruct_trainer.model.export import probe_logits
from qinstruct_trainer.model.llava import DTYPES, load_model
from qinstruct_trainer.model.loss import LlavaLoss
from support.model.tiny import IMAGE_TOKEN, PAD_TOKEN, batch_of, sample
from support.training.prepared_folder import write_checkpoint

IMAGE_SIZE, NUM_PATCHES, HEAD = 336, 576, 128
LENGTH = 700

Seen = Mapping[str, Any]


def heads_model() -> LlavaForConditionalGeneration:
    """Two Llama layers with two heads of 128 each, behind a tower of 24 x 24 patches."""
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=128,
            intermediate_size=160,
            num_hidden_layers=3,
            num_attention_heads=2,
            image_size=IMAGE_SIZE,
            patch_size=14,
            projection_dim=16,
        ),
        text_config=LlamaConfig(
            vocab_size=320,
            hidden_size=2 * HEAD,
            intermediate_size=344,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=4096,
            rms_norm_eps=1e-5,
            pad_token_id=PAD_TOKEN,
        ),
        image_token_index=IMAGE_TOKEN,
        image_seq_length=NUM_PATCHES,
    )
    model = LlavaForConditionalGeneration(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in model.parameters():
            value.copy_(0.05 * torch.randn(value.shape, generator=generator))
    return model


def write_heads(folder: Path) -> Path:
    """Write the model as a checkpoint; the path of a prepared.json that names it, and no index."""
    base = folder / "base"
    write_checkpoint(base, heads_model().type(torch.float16))
    path = folder / "prepared.json"
    given = Prepared(
        index=folder / "index", model=base, gate_report=folder / "report.json", num_records=2
    )
    path.write_text(given.to_json())
    return path


def heads_batch(*lengths: int, seed: int = 1) -> Batch:
    """Samples of an image and words."""
    generator = torch.Generator().manual_seed(seed)
    rows = [
        sample(
            torch.randint(
                3, IMAGE_TOKEN, (length - NUM_PATCHES - 1,), generator=generator
            ).tolist(),
            image=True,
            supervised=60,
            num_image_tokens=NUM_PATCHES,
        )
        for length in lengths
    ]
    pixels = torch.randn((len(rows), 3, IMAGE_SIZE, IMAGE_SIZE), generator=generator)
    return batch_of(rows, pixels)


def plain_pass(
    prepared: Path, precision: Precision, batch: Batch, device: torch.device | str = "cpu"
) -> Seen:
    """Logits of the first sample, the batch's loss and gradients, here and without DeepSpeed."""
    model = load_model(Prepared.read(prepared).model, precision=precision, attention="sdpa")
    torch.nn.Module.to(model, device)
    batch = batch.to(device)
    module = LlavaLoss(model)
    module.eval()
    ids = batch.input_ids[: batch.lengths[0]].unsqueeze(0)
    logits = probe_logits(model, ids, batch.pixel_values[:1].to(DTYPES[precision]))
    module.train()
    loss = module(batch)
    loss.backward()
    gradients = {
        name: parameter.grad.cpu()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    return {"logits": logits.cpu(), "loss": float(loss.detach()), "gradients": gradients}
