"""How much of the cache a run's data take."""

from collections.abc import Sequence
from typing import Final

from qinstruct_trainer.contract.config import Source

TIMES_LABELS: Final = 4  # the file, what the gate has read of it, the merged records, the index


def data_bytes(sources: Sequence[Source], *, keep_archives: bool) -> int:
    """Bytes of sources and of what is made from them, without decoded pixels.

    Photographs are compressed already: extracted they take what their archive does. Archives
    are fetched one after the other, and each goes when it is extracted: the largest counts, or
    all where they are kept. Sources of unknown size count as nothing.
    """
    images = [source.num_bytes or 0 for source in sources if source.kind == "images"]
    labels = sum(source.num_bytes or 0 for source in sources if source.kind == "labels")
    archives = sum(images) if keep_archives else max(images, default=0)
    return sum(images) + archives + TIMES_LABELS * labels
