"""One GPU at work on layers of 7B's shape: seconds, MFU, memory by phase; and attention alone.

    python bench/gpu.py 2            # ZeRO-2, 8 layers; also: 1, 3, `attention`
    python bench/gpu.py 3 --layers 4

Random weights; 5 GB are written below TMPDIR. A line of JSON for each case: MFU is of forward and
backward pass, FLOPs as in train/metrics/flops.py (recomputation not counted) over the dense bf16
peak (H100 and H200: 989 TFLOP/s); memory is torch's, in GB.

The figures are in docs/performance.md.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from qinstruct_trainer.contract.config import Prepared
from qinstruct_trainer.data.collate import Batch, collate
from qinstruct_trainer.data.index.reader import Example
from qinstruct_trainer.data.label_mask import IGNORE_INDEX
from qinstruct_trainer.train.engine import Engine
from qinstruct_trainer.train.metrics.flops import peak_flops, step_flops
from qinstruct_trainer.train.ranks import Ranks, process_group
from support.training.prepared_folder import write_checkpoint
from support.training.run_configs import run_config

HIDDEN, IMAGE, PADDING, PATCHES, SIZE = 4096, 32_000, 32_001, 576, 336
ROWS, HEADS, HEAD = 16, 32, 128
TIMED, WARM = 4, 2

# Samples, the longest one's tokens, the shortest one's, tokens learnt of each, recomputation.
CASES = [
    *((rows, 700, 700, 40, again) for again in (True, False) for rows in (1, 4, 16)),
    *((16, 700, 630, 40, again) for again in (True, False)),
    *((16, 2048, 640, 40, again) for again in (True, False)),
    (16, 2048, 2048, 2047, True),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["1", "2", "3", "attention"])
    parser.add_argument("--layers", type=int, default=8)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("torch sees no GPU")
    print(json.dumps({"gpu": torch.cuda.get_device_name(), "torch": torch.__version__}))
    if arguments.what == "attention":
        for length in (700, 2048):
            print(json.dumps(attention(length)), flush=True)
    else:
        train(int(arguments.what), arguments.layers)


def train(stage: int, layers: int) -> None:
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    os.environ.update({"MASTER_PORT": "29500"} | alone)
    ranks = Ranks.from_env(os.environ)
    with tempfile.TemporaryDirectory() as name, process_group(ranks):
        prepared = write_model(Path(name), layers)
        config = run_config(
            prepared,
            Path(name),
            world_size=1,
            global_batch_size=1,
            micro_batch_size=1,
            zero_stage=stage,
            precision="bf16",
        )
        engine = Engine(config, Prepared.read(prepared).model, HIDDEN, ranks)
        print(json.dumps({"states": torch.cuda.memory_allocated() / 1e9}))
        for case in CASES:
            print(json.dumps(measure(engine, *case)), flush=True)


def write_model(folder: Path, layers: int) -> Path:
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=1024,
            intermediate_size=4096,
            num_hidden_layers=24,
            num_attention_heads=16,
            image_size=SIZE,
            patch_size=14,
            projection_dim=768,
        ),
        text_config=LlamaConfig(
            vocab_size=32_064,
            hidden_size=HIDDEN,
            intermediate_size=11_008,
            num_hidden_layers=layers,
            num_attention_heads=HEADS,
            num_key_value_heads=HEADS,
            max_position_embeddings=4096,
            rms_norm_eps=1e-5,
            pad_token_id=PADDING,
        ),
        image_token_index=IMAGE,
        image_seq_length=PATCHES,
    )
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("cuda"):
            model = LlavaForConditionalGeneration(config)
    finally:
        torch.set_default_dtype(torch.float32)
    write_checkpoint(folder / "base", model)
    given = Prepared(
        index=folder / "index",
        model=folder / "base",
        gate_report=folder / "report.json",
        num_records=1,
    )
    path = folder / "prepared.json"
    path.write_text(given.to_json())
    return path


def batch_of(rows: int, longest: int, shortest: int, learnt: int) -> Batch:
    """Random words behind an image; where nearly everything is learnt, words alone."""
    generator = torch.Generator().manual_seed(rows + longest)
    shown = 0 if learnt > shortest - PATCHES - 1 else PATCHES
    lengths = torch.randint(shortest, longest + 1, (rows,), generator=generator).tolist()
    lengths[0] = longest
    examples = []
    for length in lengths:
        ids = torch.randint(3, IMAGE, (length,), generator=generator).numpy()
        ids[1 : 1 + shown] = IMAGE
        labels = np.where(np.arange(length) >= length - learnt, ids, IGNORE_INDEX)
        examples.append(Example(ids, labels, None, ((1, shown),) if shown else ()))
    batch = collate(examples, SIZE)
    return replace(batch, pixel_values=torch.randn((rows, 3, SIZE, SIZE), generator=generator))


def measure(
    engine: Engine, rows: int, longest: int, shortest: int, learnt: int, recompute: bool
) -> dict[str, Any]:
    llama = engine.model.model.language_model
    if recompute:
        llama.gradient_checkpointing_enable()
    else:
        llama.gradient_checkpointing_disable()
    torch.cuda.empty_cache()
    batch = batch_of(rows, longest, shortest, learnt).to("cuda")
    inner = engine._engine  # forward and backward apart, which training never needs
    phases: dict[str, list[dict[str, float]]] = {"forward": [], "backward": [], "step": []}
    for _ in range(WARM + TIMED):
        loss, seen = phase(lambda: inner(batch))
        phases["forward"].append(seen)
        _, seen = phase(partial(inner.backward, loss))
        phases["backward"].append(seen)
        del loss
        _, seen = phase(lambda: engine.optimizer_step(1e-6))
        phases["step"].append(seen)
    found = {
        name: {key: statistics.median(each[key] for each in all_seen[WARM:]) for key in all_seen[0]}
        for name, all_seen in phases.items()
    }
    seconds = found["forward"]["seconds"] + found["backward"]["seconds"]
    flops = step_flops(
        engine.model.config,
        tokens=batch.num_tokens,
        squared=sum(length * length for length in batch.lengths),
        images=rows,
    )
    peak = peak_flops(torch.device("cuda"))
    return {
        "rows": rows,
        "lengths": [shortest, longest],
        "learnt": learnt,
        "recompute": recompute,
        "tokens": batch.num_tokens,
        "seconds": seconds,
        "tokens_per_second": batch.num_tokens / seconds,
        "mfu": None if peak is None else flops / seconds / peak,
        **found,
    }


def phase(call: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """The result of a call, its seconds, and the GB before it, at most, after it, and reserved."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    begin = time.perf_counter()
    result = call()
    torch.cuda.synchronize()
    return result, {
        "seconds": time.perf_counter() - begin,
        "before": before / 1e9,
        "peak": torch.cuda.max_memory_allocated() / 1e9,
        "after": torch.cuda.memory_allocated() / 1e9,
        "reserved": torch.cuda.memory_reserved() / 1e9,
    }


def attention(length: int) -> dict[str, float]:
    """Milliseconds of causal attention, forward and backward."""
    generator = torch.Generator("cuda").manual_seed(length)
    shape = (ROWS, HEADS, length, HEAD)
    q, k, v, grad = (
        torch.randn(shape, generator=generator, device="cuda").bfloat16() for _ in range(4)
    )
    lengths = torch.randint(length * 6 // 10, length + 1, (ROWS,), device="cuda")
    lengths[0] = length
    is_token = torch.arange(length, device="cuda") < lengths.unsqueeze(1)
    causal = torch.ones(length, length, dtype=torch.bool, device="cuda").tril()
    mask = causal & is_token[:, None, None, :]
    starts = pad(lengths.cumsum(0), (1, 0)).int()
    packed = [each.transpose(1, 2)[is_token].contiguous() for each in (q, k, v, grad)]

    def full(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return scaled_dot_product_attention(q, k, v, is_causal=True)

    def masked(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return scaled_dot_product_attention(q, k, v, attn_mask=mask)

    def variable(q: Tensor, k: Tensor, v: Tensor) -> Any:
        return varlen_attn(q, k, v, starts, starts, length, length, window_size=(-1, 0))

    return {
        "length": length,
        "tokens": int(lengths.sum()),
        "sdpa": milliseconds(full, q, k, v, grad),
        "sdpa, mask": milliseconds(masked, q, k, v, grad * is_token[:, None, :, None]),
        "varlen": milliseconds(variable, *packed),
    }


def milliseconds(
    attend: Callable[[Tensor, Tensor, Tensor], Any], q: Tensor, k: Tensor, v: Tensor, grad: Tensor
) -> float:
    q, k, v = (each.detach().requires_grad_() for each in (q, k, v))
    seconds = []
    for _ in range(WARM + 2 * TIMED):
        _, seen = phase(lambda: torch.autograd.grad(attend(q, k, v), (q, k, v), grad))
        seconds.append(seen["seconds"])
    return 1000 * statistics.median(seconds[WARM:])


if __name__ == "__main__":
    main()
