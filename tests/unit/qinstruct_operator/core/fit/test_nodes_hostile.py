"""Whatever a node says of itself, it can be judged."""

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from qinstruct_operator.core.fit.nodes import node_fit, pods_of, read_node
from support.any_json import CONDITIONS, JSON, METADATA, holding
from support.operator_documents import document, plan

NODES = holding(
    metadata=METADATA,
    spec=holding("unschedulable", taints=st.lists(holding("key", "value", "effect"))),
    status=holding(
        allocatable=st.dictionaries(st.sampled_from(["cpu", "nvidia.com/gpu"]), JSON),
        conditions=CONDITIONS,
    ),
)


PODS_OF_13B = pods_of(plan(document(size="13B")))


@example({"status": {"conditions": [{"type": []}]}})
@given(NODES)
def test_any_node_can_be_judged(raw: dict[str, Any]) -> None:
    fit = node_fit(PODS_OF_13B, read_node(raw))
    assert fit.train
    assert fit.prep
