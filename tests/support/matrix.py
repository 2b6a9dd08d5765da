"""Long matrices: a seeded sample of their cases in `make test`, all of them in `make test-all`."""

import os
import random
from collections.abc import Iterable
from typing import Final, TypeVar

Case = TypeVar("Case")

IS_WHOLE: Final = os.environ.get("QINSTRUCT_TEST_ALL") == "1"
SEED: Final = int(os.environ.get("QINSTRUCT_TEST_SEED", "0"))


def sampled(cases: Iterable[Case], count: int) -> list[Case]:
    """So many of the cases, in their order; the same seed draws the same ones in every worker."""
    found = list(cases)
    if IS_WHOLE or count >= len(found):
        return found
    chosen = sorted(random.Random(SEED).sample(range(len(found)), count))
    return [found[index] for index in chosen]


def described() -> str:
    """What a run's header says of it."""
    if IS_WHOLE:
        return "long matrices: whole"
    return f"long matrices: a sample, QINSTRUCT_TEST_SEED={SEED} (whole: make test-all)"
