"""The LLaVA model: published weights in, training forward, published layout out.

`keys` (pure key maps) <- `files` (checkpoint folders, tensor by tensor) <- `convert` (any
published layout to one Hugging Face folder); `llava` (load, freeze), `forward` (the loss of
the published recipe), `export` (write, load back, compare). May import torch, transformers,
safetensors, `qinstruct_trainer.data` and `.errors`; knows no process group, no optimizer and
no network.
"""
