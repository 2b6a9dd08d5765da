"""Prepare the data of a run and train it: everything that happens inside a pod.

Rooms, from the ground up; a room imports only from those above it:

- `config`, `events`, `errors`, `batch`: the contract with the operator. No torch here.
- `data`: records to token ids, labels, pixels and an order of samples.
- `model`: checkpoints in their several layouts, brought to the Hugging Face one.
- `builtin`: the data set and the tiny model that need no download.
- `prep`: the stages that run on a CPU node before any GPU is asked for.
- `train`: the training loop, its checkpoints and its export.
- `evaluate`: accuracy of a trained model on held-out questions.

`__main__` is the door: `python -m qinstruct_trainer prep|train|evaluate`.
"""
