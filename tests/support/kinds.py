"""Kinds of objects that the tests' clusters hold, and the name of the training container."""

from typing import Final

from qinstruct_operator.core.backends.pytorchjob import PYTORCHJOB as _BACKEND
from qinstruct_operator.kinds import CLAIM, CONFIG_MAP, EVENT, JOB, NODE, POD, TRAINING

PYTORCHJOB: Final = _BACKEND.kind
TRAINING_CONTAINER: Final = _BACKEND.container
ALL_KINDS: Final = (TRAINING, CONFIG_MAP, CLAIM, JOB, PYTORCHJOB, POD, EVENT, NODE)
