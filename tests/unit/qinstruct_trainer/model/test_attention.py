"""Attention of records in one row is that of each record alone."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from qinstruct_trainer.contract.config import Attention
from qinstruct_trainer.model.attention import _tree, implementations, keywords
from support.model.tiny import batch_of, pixels_for, sample

LENGTHS = [1, 7, 64, 3]
SCALE = 0.3
LAYER = nn.Module()


def tensors(heads: int = 4, rows: int = 1, length: int = sum(LENGTHS)) -> list[Tensor]:
    """Query of 4 heads, key and value of `heads`."""
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn((rows, each, length, 8), generator=generator, dtype=torch.float64)
        for each in (4, heads, heads)
    ]


def attend(attention: Attention, *given: Tensor, **more: object) -> Tensor:
    function = ALL_ATTENTION_FUNCTIONS[implementations(attention)["text_config"]]
    found, weights = function(LAYER, *given, None, scaling=SCALE, dropout=0.0, **more)
    assert weights is None
    transposed: Tensor = found.transpose(1, 2)
    return transposed


@pytest.mark.parametrize("heads", [4, 2, 1])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_no_record_sees_another(attention: Attention, heads: int) -> None:
    given = tensors(heads)
    found = torch.split(attend(attention, *given, lengths=tuple(LENGTHS)), LENGTHS, dim=2)
    parts = zip(*(torch.split(each, LENGTHS, dim=2) for each in given), strict=True)
    for ours, (query, key, value) in zip(found, parts, strict=True):
        length = query.shape[2]
        key, value = (each.repeat_interleave(4 // heads, dim=1) for each in (key, value))
        scores = SCALE * query @ key.transpose(2, 3)
        later = torch.ones(length, length, dtype=torch.bool).triu(1)
        expected = scores.masked_fill(later, -torch.inf).softmax(-1) @ value
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sizes", [(5, 3, 2, 8), (18,), (3, 700, 200, 300, 1)])
@pytest.mark.parametrize("heads", [4, 1])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_branch_sees_what_is_shared_and_itself(
    attention: Attention, heads: int, sizes: tuple[int, ...]
) -> None:
    """Beside a record alone; the last case has more branches than are attended to at a time."""
    shared, *branches = sizes
    alone = 4
    query, key, value = tensors(heads, length=sum(sizes) + alone)
    trees = [_tree(each, query.device) for each in (sizes, (alone,))]
    found = attend(attention, query, key, value, trees=trees)
    first = shared
    ways = [list(range(shared)), list(range(sum(sizes), sum(sizes) + alone))]
    for size in branches:
        ways.append([*range(shared), *range(first, first + size)])
        first += size
    for way in ways:
        expected = attend(attention, *(each[:, :, way] for each in (query, key, value)))
        torch.testing.assert_close(found[:, :, way], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_without_lengths_each_row_is_one_record(attention: Attention) -> None:
    """As the check of an export calls the model."""
    query, key, value = tensors(rows=3)
    expected = scaled_dot_product_attention(query, key, value, is_causal=True, scale=SCALE)
    found = attend(attention, query, key, value)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_a_mask_is_refused_and_not_ignored() -> None:
    function = ALL_ATTENTION_FUNCTIONS[implementations("sdpa")["text_config"]]
    with pytest.raises(ValueError, match="takes no mask"):
        function(LAYER, *tensors(), torch.ones(1), scaling=SCALE)


def test_flash_attention_is_transformers_own_and_knows_where_records_begin() -> None:
    assert implementations("flash_attention_2")["text_config"] == "flash_attention_2"
    samples = [sample([7, 8], image=True, supervised=1), sample([9], image=False, supervised=1)]
    told = keywords(batch_of(samples, pixels_for([True, False])))
    assert told["cu_seq_lens_q"].tolist() == told["cu_seq_lens_k"].tolist() == [0, 7, 9]
    assert told["cu_seq_lens_q"].dtype == torch.int32
    assert (told["lengths"], told["max_length_q"], told["max_length_k"]) == ((7, 2), 7, 7)
