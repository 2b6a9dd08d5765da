"""`qinstruct plan` against a cluster: its nodes, if they can be had within seconds."""

import asyncio

from rich.console import Console
from rich.text import Text

from qinstruct_operator.cli.cluster.connection import has_kubeconfig, open_door
from qinstruct_operator.cli.plan.show_nodes import show_nodes
from qinstruct_operator.cluster.port import Resource
from qinstruct_operator.core.plan.types import Plan
from qinstruct_operator.kinds import NODE
from qinstruct_trainer.contract.errors import RunError

# A cloud's credential plugin alone takes some of them; the plan is on the screen already.
_SECONDS = 10.0


def compare_nodes(console: Console, plan: Plan, context: str | None) -> None:
    """Print the nodes' table, or a line that says why there is none; nothing without kubeconfig.

    Args:
        console: Where to print.
        plan: The plan whose pods the nodes are compared with.
        context: A context of the kubeconfig; None: the current one.
    """
    if context is None and not has_kubeconfig():
        return
    with asyncio.Runner() as runner:  # at its end it waits for a name server that is silent
        try:
            with console.status("asking the cluster for its nodes (--offline leaves this out)"):
                nodes = runner.run(_nodes(context))
        except (RunError, TimeoutError) as error:
            reason = str(error) or f"the cluster did not answer within {_SECONDS:g} s"
            note = (
                f"note: the cluster's nodes are not compared: {reason} (--offline leaves this out)"
            )
            console.print(Text(f"\n{note}"), soft_wrap=True)
        else:
            show_nodes(console, plan, nodes)


async def _nodes(context: str | None) -> tuple[Resource, ...]:
    async with asyncio.timeout(_SECONDS), open_door(context) as door:
        return await door.cluster.list(NODE, None)
