"""The contract: everything that the operator, local mode and the trainer must agree on.

- `config`: the documents that tell prep and training what to do, and what makes two runs the same.
- `launch`: the commands that start prep, training and what else the trainer does.
- `events`: the lines that they print.
- `errors`: the ways in which they end, with exit codes.
- `output_files`: the names of what they leave in the output folder.
- `restarts`: what the ranks are told of the tries before theirs.
- `batch`: the arithmetic of batches and steps.
- `safe_text`, `urls`: what others wrote, as it may be shown.
- `hub_files`, `object_urls`: addresses of the hub's files and of stores' objects.
- `cache`, `summary`: what the trainer's answers to a command are made of.
- `no_proxy`: which servers are reached without a proxy.

The operator imports nothing else of the trainer. These modules import pydantic, the standard
library and each other, so that whoever needs the contract loads no torch.
"""
