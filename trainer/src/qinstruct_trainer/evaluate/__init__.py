"""How well a model answers held-out questions.

`heldout` reads the questions, `likelihood` asks a model, `accuracy` makes the figures. May import
`data`, `model`, `events` and `errors`; knows nothing of training.
"""

from qinstruct_trainer.evaluate.accuracy import evaluate_model

__all__ = ["evaluate_model"]
