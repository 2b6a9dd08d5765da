"""An image in a sequence: one placeholder where it is stored, a run of them for the model. Pure.

A sequence is cut at `max_length` with its images expanded; the cut may go through an image, whose
one placeholder is then kept.
"""

from dataclasses import dataclass

import numpy as np

from qinstruct_trainer.data.label_mask import Ids

Span = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class TokenizedRecord:
    """A record as an index stores it.

    Attributes:
        input_ids: [T], every image as one placeholder; those past the cut are left out.
        labels: [T], the id where it is learnt, -100 elsewhere.
        num_tokens: Length of the sequence with its images expanded.
    """

    input_ids: Ids
    labels: Ids
    num_tokens: int


@dataclass(frozen=True, slots=True, eq=False)
class EncodedRecord:
    """What the model sees of a record.

    Attributes:
        input_ids: [T], the image as a run of its placeholder's id.
        labels: [T], the id where it is learnt, -100 elsewhere.
        image_runs: (start, length) of every run; a cut leaves the last one shorter.
    """

    input_ids: Ids
    labels: Ids
    image_runs: tuple[Span, ...] = ()


def cut_record(
    ids: Ids, labels: Ids, image_token_id: int, num_image_tokens: int, max_length: int
) -> TokenizedRecord:
    """Leave out what would be longer than `max_length` if the images were expanded.

    Args:
        ids: [T], one placeholder per image.
        labels: [T].
        image_token_id: The placeholder.
        num_image_tokens: Length of a run.
        max_length: Longest sequence, images expanded.
    """
    places = np.flatnonzero(ids == image_token_id).tolist()
    starts = np.arange(len(ids))
    for place in places:
        starts[place + 1 :] += num_image_tokens - 1
    kept = int(np.searchsorted(starts, max_length))
    num_tokens = min(len(ids) + len(places) * (num_image_tokens - 1), max_length)
    return TokenizedRecord(ids[:kept], labels[:kept], num_tokens)


def expand_images(
    ids: Ids, labels: Ids, image_token_id: int, num_image_tokens: int, max_length: int
) -> EncodedRecord:
    """Replace single placeholders by runs, and cut what is longer than `max_length`.

    Args:
        ids: [T], one placeholder per image.
        labels: [T].
        image_token_id: The placeholder.
        num_image_tokens: Length of a run.
        max_length: Longest result.
    """
    places = np.flatnonzero(ids == image_token_id).tolist()
    if not places:
        return EncodedRecord(ids[:max_length], labels[:max_length])
    counts = np.ones(len(ids), np.int64)
    counts[places] = num_image_tokens
    runs = tuple(
        (start, min(num_image_tokens, max_length - start))
        for start in (place + i * (num_image_tokens - 1) for i, place in enumerate(places))
        if start < max_length
    )
    return EncodedRecord(
        np.repeat(ids, counts)[:max_length], np.repeat(labels, counts)[:max_length], runs
    )
