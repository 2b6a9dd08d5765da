"""The builtin data set and the tiny LLaVA: a whole run without a download.

Photographs shipped with scikit-image and drawn scenes are degraded by known distortions and
asked about in the Q-Instruct format, so that every answer is true by construction. May
import `data`, `model` and the contract modules; knows nothing of prep or training.

- `photographs`, `scenes`: the subjects; `distortions`: what is done to them.
- `questions`, `text_conversations`: what is asked; `dataset`: the files of a data set.
- `tokenizer`, `tower`, `model`: the tiny LLaVA, in the layout of the published checkpoints.

The data set needs no torch, `tower` and `model` do.
"""

from typing import Final

IMAGE_SIZE: Final = 112
"""Edge in pixels of the square that the tiny LLaVA takes."""
