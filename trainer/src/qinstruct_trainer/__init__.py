"""Prepare the data of a run and train it: everything that happens inside a pod.

Packages and modules, from the bottom up; each imports only from those before it, but `prep` and
`train` do not know each other:

- `contract`: everything that the operator and the trainer agree on. No torch here.
- `durable_files`: files that survive a power cut; `imports`: large libraries, loaded quicker.
- `lease`, `parent_death`, `storage_errors`: one process at a time, processes that end with their
  parent, a full disk as a sentence.
- `data`: records to token ids, labels, pixels, an index on disk and an order of samples.
- `model`: checkpoints in their several layouts, brought to the Hugging Face one.
- `builtin`: the data set and the tiny model that need no download.
- `evaluate`: accuracy of a trained model on held-out questions.
- `prep`: the stages that run on a CPU node before any GPU is asked for.
- `train`: the training loop, its checkpoints and its export.

`__main__` is the command line: `python -m qinstruct_trainer prep|train|evaluate`. `torchrun` starts
training as `forks` of itself and turns their ends into one exit code.
"""
