"""What `packing` saves: tokens as planned, seconds to plan, and CPU time of an epoch.

    python bench/packing.py           # both; also: `plan`, `train`

`plan` lays out one epoch for 8 ranks of the published sizes: 200,534 records on 18,969 images
(after), and 865,832 records (mix). Lengths and images a record are drawn: of Q-Instruct 29 in 100
records describe an image, the others ask. `train` runs an epoch of a small LLaVA on one process,
forward and backward passes alone.
"""

import resource
import sys
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np
import numpy.typing as npt
import torch
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from qinstruct_trainer.data.collate import collate_pieces
from qinstruct_trainer.data.index.reader import Example
from qinstruct_trainer.model.attention import implementations
from qinstruct_trainer.model.llava import freeze_tower
from qinstruct_trainer.model.loss import LlavaLoss
from qinstruct_trainer.train.batches.order import SampleOrder, Share
from qinstruct_trainer.train.batches.packed import PackedOrder

PREFIX, MAX_LENGTH, IMAGE, WORDS = 618, 2048, 3_000, 2_990
Numbers = npt.NDArray[np.int32]


def questions(rng: np.random.Generator, images: int, records: int, spread: float) -> Numbers:
    """Images of `records` records, the same number of each but for a normal spread."""
    sizes = np.rint(rng.normal(records / images, spread, images)).clip(1).astype(int)
    while sizes.sum() != records:
        changed = rng.integers(images)
        sizes[changed] = max(1, sizes[changed] + np.sign(records - sizes.sum()))
    return np.repeat(np.arange(images, dtype=np.int32), sizes)


def own_tokens(rng: np.random.Generator, records: int) -> Numbers:
    """Of a record beside its prefix: descriptions, short questions, questions with choices."""
    kind = rng.random(records)
    drawn = (rng.normal(125, 25, records), rng.normal(46, 9, records), rng.normal(110, 40, records))
    return np.select([kind < 0.29, kind < 0.9], drawn[:2], drawn[2]).clip(15, 400).astype(np.int32)


def published(name: str, spread: float) -> tuple[Numbers, Numbers]:
    """Image and own tokens of each record; image -1 is text."""
    rng = np.random.default_rng(0)
    images = questions(rng, 18_969, 200_534, spread)
    own = own_tokens(rng, len(images))
    if name == "after":
        return images, own
    coco = rng.integers(0, 81_000, 364_100).astype(np.int32) + 18_969
    single = np.arange(260_510, dtype=np.int32) + 100_000
    text = np.full(40_688, -1, np.int32)
    images = np.concatenate([images, coco, single, text])
    others = rng.gamma(2, 110, 624_610).clip(15, 1400).astype(np.int32)
    texts = rng.gamma(2, 350, 40_688).clip(60, 2048).astype(np.int32)
    return images, np.concatenate([own, others, texts])


def order_of(
    packing: str, images: Numbers, own: Numbers, *, world: int, grouped: bool
) -> PackedOrder:
    lengths = own + PREFIX * (images >= 0)
    order = SampleOrder(
        lengths=np.where(images < 0, -own, own),
        grouped=grouped,
        seed=42,
        epochs=1,
        global_batch_size=16 * world,
        micro_batch_size=16,
        world_size=world,
        images=images if packing == "prefix" else None,
    )
    shares = images if packing == "prefix" else np.full_like(images, -1)
    shared = np.where(shares < 0, 0, PREFIX).astype(np.int32)
    return PackedOrder(order, lengths, (own // 2).astype(np.int64), shares, shared, 16 * MAX_LENGTH)


def tokens_of(order: PackedOrder, share: Share) -> int:
    """Tokens of a row."""
    return sum(
        int(order.shared[piece[0]])
        + sum(int(order.lengths[record] - order.shared[record]) for record in piece)
        for piece in share.pieces
    )


def plan(name: str, spread: float) -> None:
    images, own = published(name, spread)
    world = 8
    plain = order_of("none", images, own, world=world, grouped=name == "mix")
    padded = np.zeros((plain.num_steps, world), np.int64)
    for step in range(plain.num_steps):
        micro_batches = plain.lengths[plain.order.step_records(step)].reshape(world, -1)
        padded[step] = 16 * micro_batches.max(axis=1)
    real = int(plain.lengths.sum(dtype=np.int64))
    print(
        f"{name}, spread {spread}: {len(images):,} records, {plain.num_steps:,} steps, "
        f"{real / 1e6:.1f}M tokens, padded {padded.sum() / 1e6:.1f}M"
    )
    for packing in ("sequence", "prefix"):
        order = order_of(packing, images, own, world=world, grouped=name == "mix")
        begin = time.process_time()
        total, unequal, most, passes = 0, [], 0, 0
        for step in range(order.num_steps):
            passes += order.passes(step)
            rows = [
                [order.share(step, forward, rank) for forward in range(order.passes(step))]
                for rank in range(world)
            ]
            if step == 0:
                first = time.process_time() - begin
            tokens = [sum(tokens_of(order, share) for share in each) for each in rows]
            total += sum(tokens)
            unequal.append(max(tokens) * world / sum(tokens) - 1)
            most = max(most, *tokens)
        seconds = time.process_time() - begin
        print(
            f"  {packing}: {total / 1e6:.1f}M tokens, {total / real:.4f} of all, "
            f"{total / padded.sum():.4f} of the padded; longest rank {most:,}; {passes:,} passes\n"
            f"    a step's longest rank above the mean: mean {np.mean(unequal):.2%}, "
            f"99 of 100 {np.quantile(unequal, 0.99):.2%}, at most {max(unequal):.2%}\n"
            f"    {seconds:.1f} CPU s in all, {first:.1f} to the first step; "
            f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB"
        )


def small_model() -> LlavaForConditionalGeneration:
    """Four layers and as many image tokens as LLaVA has."""
    torch.manual_seed(0)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=3,
            num_attention_heads=2,
            image_size=336,
            patch_size=14,
        ),
        text_config=LlamaConfig(
            vocab_size=IMAGE + 8,
            hidden_size=256,
            intermediate_size=704,
            num_hidden_layers=4,
            num_attention_heads=4,
            max_position_embeddings=MAX_LENGTH,
        ),
        image_token_index=IMAGE,
        image_seq_length=576,
    )
    config._attn_implementation = implementations("sdpa")
    model = LlavaForConditionalGeneration(config)
    freeze_tower(model)
    return model


def train() -> None:
    rng = np.random.default_rng(0)
    images = questions(rng, 3, 32, 3.0)
    own = own_tokens(rng, len(images))
    before = rng.integers(3, WORDS, PREFIX - 576)
    examples = []
    for length in own:
        ids = np.concatenate([before, np.full(576, IMAGE), rng.integers(3, WORDS, length)])
        labels = np.where(np.arange(len(ids)) < len(ids) - length // 2, -100, ids)
        examples.append(Example(ids, labels, None, ((PREFIX - 576, 576),)))
    for packing in ("none", "sequence", "prefix"):
        packed = order_of(packing, images, own, world=1, grouped=False)
        packed = replace(packed, order=replace(packed.order, global_batch_size=32))
        order = packed.order if packing == "none" else packed
        loss = LlavaLoss(small_model())
        tokens, losses = 0, 0.0
        begin = time.process_time()
        for step in range(order.num_steps):
            for forward in range(order.passes(step)):
                share = order.share(step, forward, 0)
                pieces = [[examples[record] for record in piece] for piece in share.pieces]
                batch = collate_pieces(pieces, share.divisors, 336)
                value = loss(batch)
                value.backward()
                tokens += batch.num_tokens
                losses += float(value.detach()) / 2 / order.num_steps
        seconds = time.process_time() - begin
        print(f"{packing}: {tokens:,} tokens, {seconds:.1f} CPU s, mean loss {losses:.5f}")


def main() -> None:
    what = next(islice(sys.argv, 1, None), "all")
    if what in ("plan", "all"):
        for spread in (1.5, 3.0, 5.0):
            plan("after", spread)
        plan("mix", 3.0)
    if what in ("train", "all"):
        train()


if __name__ == "__main__":
    main()
