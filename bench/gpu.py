"""One GPU at work on layers of 7B's shape: seconds, MFU, memory by phase; and attention alone.

    python bench/gpu.py 2            # ZeRO-2, 8 layers; also: 1, 3, `attention`
    python bench/gpu.py 3 --layers 4

Random weights; 5 GB are written below TMPDIR. A line of JSON for each case: MFU is of forward and
backward pass, FLOPs as in train/metrics/flops.py (recomputation not counted) over the dense bf16
peak (H100 and H200: 989 TFLOP/s); memory is torch's, in GB.

Measured on one H200 on 2026-11-26 (torch 2.11.0+cu130, transformers 5.17.0, DeepSpeed 0.19.8,
driver 580.159.04, 16 cores) with this script's first form. Rows of 700 tokens, SDPA, no padding;
`peak` is of the backward pass:

    rows  ZeRO-2: seconds, MFU, peak     with recomputation         ZeRO-3: MFU   with recomputation
      16  0.254     46.2 %  49.3         0.319    36.7 %  34.9      25.7 %        25.7 %
       4  0.165     17.7 %  35.8         0.134    21.9 %  32.2       9.1 %         7.9 %
       1  0.090      8.2 %  32.5         0.123     5.9 %  31.6       2.0 %         1.6 %

On a second H200, 16 rows under ZeRO-2 had 42.3 %. The optimizer's step took 0.06 s and 42.6 GB
(ZeRO-3: 37.3), for all states on one GPU. Small batches wait for Python and not for the GPU, and
ZeRO-3 the most: the hooks on its 409 modules take 0.2 s of a forward pass, 0.14 of them in the
frozen tower. Deterministic sums (`compute_alike_each_time`) cost nothing of forward and backward
pass without padding, 4.8 % with some, 2.5 % with recomputation, 4 % under ZeRO-3. Without the waits
for the GPU in `LlavaLoss` and `float(loss)` an iteration of 16 rows was 1 to 2 % shorter.

Attention, 16 rows, 32 heads of 128, bf16, forward and backward, in ms; each is off by 0.2 to 0.25 %
from float32. SDPA took cuDNN's kernel, with and without a mask:

    length  SDPA, no padding  SDPA, mask, rows 60 to 100 % full  varlen, packed, the same rows
       700  0.91               2.10                              1.21
     2,048  4.31              12.78                              5.26
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import torch
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from qinstruct_trainer.contract.config import Prepared
from qinstruct_trainer.data.collate import Batch
from qinstruct_trainer.data.label_mask import IGNORE_INDEX
from qinstruct_trainer.train.engine import Engine
from qinstruct_trainer.train.metrics.flops import peak_flops, step_flops
from qinstruct_trainer.train.ranks import Ranks, process_group
from support.training.prepared_folder import run_config, write_checkpoint

HIDDEN, IMAGE, PADDING, PATCHES, SIZE = 4096, 32_000, 32_001, 576, 336
ROWS, HEADS, HEAD = 16, 32, 128
TIMED, WARM = 4, 2

# Rows, length, tokens learnt of each row, recomputation, padded.
CASES = [
    *((rows, 700, 40, again, False) for again in (True, False) for rows in (1, 4, 16)),
    *((16, 700, 40, again, True) for again in (True, False)),
    (16, 2048, 2047, True, False),
    (4, 2048, 40, False, False),
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


def batch_of(rows: int, length: int, learnt: int, *, padded: bool) -> Batch:
    """Random words behind an image; where nearly everything is learnt, words alone."""
    generator = torch.Generator().manual_seed(rows + length)
    shown = 0 if learnt > length - PATCHES - 1 else PATCHES
    lengths = torch.full((rows,), length)
    if padded:
        shortest = max(shown + 1 + learnt, length * 9 // 10)
        lengths[1:] = torch.randint(shortest, length + 1, (rows - 1,), generator=generator)
    place = torch.arange(length)
    is_token = place < lengths.unsqueeze(1)
    ids = torch.randint(3, IMAGE, (rows, length), generator=generator)
    ids[:, 1 : 1 + shown] = IMAGE
    ids = torch.where(is_token, ids, PADDING)
    image_mask = ids == IMAGE
    is_learnt = is_token & (place >= lengths.unsqueeze(1) - learnt)
    return Batch(
        input_ids=ids,
        labels=torch.where(is_learnt, ids, IGNORE_INDEX),
        attention_mask=is_token.long(),
        image_mask=image_mask,
        pixel_values=torch.randn((rows, 3, SIZE, SIZE), generator=generator),
        image_lengths=image_mask.sum(dim=1),
        num_tokens=int(is_token.sum()),
    )


def measure(
    engine: Engine, rows: int, length: int, learnt: int, recompute: bool, padded: bool
) -> dict[str, Any]:
    llama = engine.model.model.language_model
    if recompute:
        llama.gradient_checkpointing_enable()
    else:
        llama.gradient_checkpointing_disable()
    torch.cuda.empty_cache()
    batch = batch_of(rows, length, learnt, padded=padded).to("cuda")
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
    lengths = batch.attention_mask.sum(dim=1).double()
    flops = step_flops(
        engine.model.config,
        tokens=batch.num_tokens,
        squared=float(lengths @ lengths),
        images=rows,
    )
    peak = peak_flops(torch.device("cuda"))
    case = {"rows": rows, "length": length, "learnt": learnt}
    return {
        **case,
        "recompute": recompute,
        "padded": padded,
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
