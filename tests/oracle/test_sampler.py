"""The order of the samples equals the original sampler's."""

from types import SimpleNamespace

import pytest
import torch

from qinstruct_trainer.data.sampler import ModalityLengthSampler
from support.oracle_llava import load_original

# (records with image, text-only records, batch size, world size)
CASES = [
    (images, texts, batch_size, world_size)
    for images, texts in ((500, 60), (1_000, 300), (128, 128), (77, 13), (300, 0), (0, 211), (5, 3))
    for batch_size, world_size in ((16, 8), (4, 16), (2, 2), (16, 1), (1, 3), (3, 7))
]


@pytest.fixture(scope="module")
def original() -> SimpleNamespace:
    return load_original()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_order_equals_the_original(
    case: tuple[int, int, int, int], original: SimpleNamespace
) -> None:
    images, texts, batch_size, world_size = case
    seeded = torch.Generator().manual_seed(sum(case))
    sizes = torch.randint(1, 90, (images + texts,), generator=seeded).tolist()
    order = torch.randperm(images + texts, generator=seeded).tolist()
    lengths = [sizes[i] if i < images else -sizes[i] for i in order]
    theirs = original.LengthGroupedSampler(
        batch_size, world_size, lengths=lengths, group_by_modality=True
    )
    generator = torch.Generator()
    ours = ModalityLengthSampler(lengths, batch_size, world_size, generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(42)
        for _ in range(2):  # two epochs: the second goes on where the first left the generator
            generator.set_state(torch.get_rng_state())
            assert list(ours) == list(theirs)
            assert torch.equal(generator.get_state(), torch.get_rng_state())
    assert sorted(ours) == list(range(len(lengths)))
    assert len(ours) == len(lengths)
