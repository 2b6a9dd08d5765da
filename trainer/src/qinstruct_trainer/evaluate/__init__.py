"""How well a model answers held-out questions.

`heldout` reads the questions, `likelihood` asks a model, `report` makes the figures. May import
`data`, `model`, `events` and `errors`; knows nothing of training.
"""

from qinstruct_trainer.evaluate.report import evaluate_model

__all__ = ["evaluate_model"]
