"""How well a model answers held-out questions.

`heldout` reads the questions, `likelihood` asks a model, `accuracy` counts its right answers. May
import `data`, `model` and the contract; knows nothing of training.
"""

from qinstruct_trainer.evaluate.accuracy import evaluate_model
from qinstruct_trainer.evaluate.heldout import heldout_images

__all__ = ["evaluate_model", "heldout_images"]
