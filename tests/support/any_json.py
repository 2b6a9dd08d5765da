"""Strategies for objects that anybody may have written: known keys, and any JSON in them."""

from typing import Any

from hypothesis import strategies as st

from qinstruct_operator.constants import LABEL_ATTEMPT, LABEL_COMPONENT

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


def holding(*keys: str, **known: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Mappings with some of the keys, their values as they may be or anything else."""
    return st.fixed_dictionaries(
        {}, optional={key: JSON for key in keys} | {k: v | JSON for k, v in known.items()}
    )


METADATA = holding(
    *("name", "namespace", "creationTimestamp", "deletionTimestamp"),
    labels=st.fixed_dictionaries(
        {LABEL_COMPONENT: st.sampled_from(["prep", "train"])}, optional={LABEL_ATTEMPT: JSON}
    ),
)
CONDITIONS = st.lists(holding("type", "status", "reason", "message", "lastTransitionTime"))
