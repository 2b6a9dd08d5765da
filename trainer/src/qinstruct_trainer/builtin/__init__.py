"""The builtin data set and the tiny LLaVA: a whole run without a download.

Photographs shipped with scikit-image and drawn scenes are degraded by known distortions and
asked about in the Q-Instruct format, so that every answer is true by construction. May
import `data`, `model` and the contract modules; knows nothing of prep or training.

- `photographs`, `scenes`: the subjects; `distortions`: what is done to them.
- `questions`: what is asked; `dataset`: the files of a data set.
- `tokenizer`, `tower`, `model`: the tiny LLaVA, in the layout of the published checkpoints.
"""

from qinstruct_trainer.builtin.dataset import write_builtin
from qinstruct_trainer.builtin.model import write_tiny_model
from qinstruct_trainer.builtin.tokenizer import write_tiny_tokenizer

__all__ = ["write_builtin", "write_tiny_model", "write_tiny_tokenizer"]
