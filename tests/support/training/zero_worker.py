"""What one rank of a sharded training has in memory, written to a file. For torchrun:

    torchrun --nproc-per-node 2 zero_worker.py BATCHES CONFIG...

For each configuration one forward and backward pass of `Engine`, on this rank's batch.
"""

import os
import sys
from pathlib import Path
from typing import Any

import torch
from deepspeed.utils import safe_get_full_grad
from transformers import LlavaConfig

from qinstruct_trainer.contract.config import Prepared, RunConfig
from qinstruct_trainer.data.collate import Batch
from qinstruct_trainer.train.engine import Engine
from qinstruct_trainer.train.ranks import Ranks, process_group


def main(batches: str, configs: list[str]) -> None:
    """Write `RANK.pt` into the output folder of each configuration."""
    ranks = Ranks.from_env(os.environ)
    batch = torch.load(batches, weights_only=False)[ranks.rank].to(ranks.device)
    with process_group(ranks):
        for path in configs:
            config = RunConfig.model_validate_json(Path(path).read_bytes())
            torch.save(_take_pass(config, batch, ranks), config.output / f"{ranks.rank}.pt")


def _take_pass(config: RunConfig, batch: Batch, ranks: Ranks) -> dict[str, Any]:
    source = Prepared.read(config.prepared).model
    text: Any = LlavaConfig.from_pretrained(source).text_config
    engine = Engine(config, source, text.hidden_size, ranks)
    ids = batch.input_ids[: batch.lengths[0]].unsqueeze(0)
    return {
        "buffers": {name: value.cpu().clone() for name, value in engine.model.named_buffers()},
        "logits": engine.logits(ids, batch.pixel_values[:1]).cpu(),
        "loss": float(engine.forward_backward(batch, is_last=True)),
        "gradients": {
            name: safe_get_full_grad(parameter).cpu().clone()
            for name, parameter in engine.model.named_parameters()
            if parameter.requires_grad
        },
    }


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
