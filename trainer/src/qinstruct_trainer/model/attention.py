"""Causal attention of records that lie one after another in one row, without padding.

transformers asks a registered function for the attention of each Llama layer and hands it every
keyword of the call on. `LlavaLoss` gives the records' lengths that way, so no record sees
another, and no mask of [T, T] is made. Where several share their first tokens, each branch sees
these and itself: some branches are attended to at a time, with a mask. flash-attn's function in
transformers knows its keywords (`cu_seq_lens_q` and so on) already, but no branches; torch's
kernels are called here.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from qinstruct_trainer.contract.config import Attention
from qinstruct_trainer.data.collate import Batch

# Kernels of torch, by what `training.attention` calls them.
_REGISTERED: dict[Attention, str] = {"sdpa": "qinstruct_sdpa", "eager": "qinstruct_eager"}
_HALF = (torch.bfloat16, torch.float16)


def implementations(attention: Attention) -> dict[str, str]:
    """What transformers is to use in each part of the model, as its `attn_implementation`."""
    text = _REGISTERED.get(attention, attention)
    return {"": attention, "text_config": text, "vision_config": attention}


def keywords(batch: Batch) -> dict[str, Any]:
    """What the Llama is told of where records begin, by each name that a kernel knows it by."""
    if batch.branches:
        return {"trees": [_tree(sizes, batch.input_ids.device) for sizes in batch.branches]}
    longest = max(batch.lengths)
    return {
        "lengths": batch.lengths,
        "cu_seq_lens_q": batch.starts,
        "cu_seq_lens_k": batch.starts,
        "max_length_q": longest,
        "max_length_k": longest,
    }


_BRANCHES = 1024  # tokens of branches that are attended to at a time: their mask is bounded

Tree = tuple[int, tuple[Tensor, ...]]
"""Tokens that are shared, and for some branches at a time the mask [own, shared + own]."""


def _tree(sizes: Sequence[int], device: torch.device) -> Tree:
    """The masks of a tree of these sizes, shared tokens first; made once for all layers."""
    shared, *branches = sizes
    blocks: list[list[int]] = []
    for size in branches:
        if not blocks or sum(blocks[-1]) + size > _BRANCHES:
            blocks.append([])
        blocks[-1].append(size)
    return shared, tuple(_mask(shared, block, device) for block in blocks)


def _mask(shared: int, branches: Sequence[int], device: torch.device) -> Tensor:
    """True where a token of these branches sees one of the shared tokens or of its own branch."""
    triangles = [torch.ones(n, n, dtype=torch.bool, device=device).tril() for n in branches]
    own: Tensor = torch.block_diag(*triangles)  # type: ignore[no-untyped-call]
    return torch.cat([own.new_ones(len(own), shared), own], dim=1)


def _attend_to_tree(
    query: Tensor, key: Tensor, value: Tensor, tree: Tree, **more: Any
) -> Iterator[Tensor]:
    """Attention of the shared tokens, then of each block of branches, [1, heads, tokens, size]."""
    shared, masks = tree
    sizes = [shared, *(len(mask) for mask in masks)]
    queries, keys, values = (torch.split(each, sizes, dim=2) for each in (query, key, value))
    yield scaled_dot_product_attention(queries[0], keys[0], values[0], is_causal=True, **more)
    for mask, own_query, own_key, own_value in zip(
        masks, queries[1:], keys[1:], values[1:], strict=True
    ):
        yield scaled_dot_product_attention(
            own_query,
            torch.cat([keys[0], own_key], dim=2),
            torch.cat([values[0], own_value], dim=2),
            attn_mask=mask,
            **more,
        )


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    lengths: tuple[int, ...] | None = None,
    trees: Sequence[Tree] = (),
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int = 0,
    **_: object,
) -> tuple[Tensor, None]:
    """Causal attention, each record for itself.

    Args:
        module: The layer that asks.
        query: [1, heads, T, size]. Without `lengths` [B, heads, T, size]: B whole rows.
        key: Like `query`, perhaps of fewer heads.
        value: Like `key`.
        attention_mask: None: transformers makes no mask for a function that it does not know, so
            rows with padding must not come here.
        scaling: Of the scores.
        lengths: Of the records, in order; their sum is T.
        trees: Instead, where records share tokens: the pieces in order.
        cu_seq_lens_q: [records + 1] int32, where each begins, and T; on the device.
        max_length_q: The longest of `lengths`.

    Returns:
        [B, T, heads, size], and no weights.
    """
    if attention_mask is not None:
        raise ValueError("packed attention takes no mask")
    grouped = query.shape[1] != key.shape[1]
    if trees:
        sizes = [shared + sum(map(len, masks)) for shared, masks in trees]
        parts = [
            part
            for tree, q, k, v in zip(
                trees,
                *(torch.split(each, sizes, dim=2) for each in (query, key, value)),
                strict=True,
            )
            for part in _attend_to_tree(q, k, v, tree, scale=scaling, enable_gqa=grouped)
        ]
        return torch.cat(parts, dim=2).transpose(1, 2), None
    if lengths is not None and cu_seq_lens_q is not None and _varlen_runs(query):
        q, k, v = (each[0].transpose(0, 1) for each in (query, key, value))
        found: Any = varlen_attn(
            q,
            k,
            v,
            cu_seq_lens_q,
            cu_seq_lens_q,
            max_length_q,
            max_length_q,
            scale=scaling,
            window_size=(-1, 0),  # causal
            enable_gqa=grouped,
        )
        return found.unsqueeze(0), None
    # The lengths are known to the host: to ask the device for them would wait for it.
    sizes = list(lengths or (query.shape[2],))
    rows = [
        scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling, enable_gqa=grouped)
        for q, k, v in zip(
            *(torch.split(each, sizes, dim=2) for each in (query, key, value)), strict=True
        )
    ]
    return torch.cat(rows, dim=2).transpose(1, 2), None


def _attend_plainly(*args: Any, **kwargs: Any) -> tuple[Tensor, None]:
    """The same with whole matrices of scores."""
    with sdpa_kernel(SDPBackend.MATH):
        return _attend(*args, **(kwargs | {"cu_seq_lens_q": None}))


def _varlen_runs(query: Tensor) -> bool:
    """Whether torch has a kernel for rows of many lengths: flash attention of sm80 and later."""
    return (
        query.is_cuda
        and query.dtype in _HALF
        and query.shape[-1] <= 256
        and torch.cuda.get_device_capability(query.device) >= (8, 0)
    )


AttentionInterface.register(_REGISTERED["sdpa"], _attend)
AttentionInterface.register(_REGISTERED["eager"], _attend_plainly)
