"""`qinstruct plan`: show a plan, and compare it with the nodes of a cluster if there is one."""

import asyncio

from rich.console import Console
from rich.text import Text

from qinstruct_operator.cli.cluster.connection import has_kubeconfig, open_connection
from qinstruct_operator.cli.plan.show_nodes import show_nodes
from qinstruct_operator.cli.plan.show_plan import show_plan
from qinstruct_operator.cluster.port import Resource
from qinstruct_operator.core.plan.types import Plan
from qinstruct_operator.kinds import NODE
from qinstruct_trainer.contract.errors import RunError

# A cloud's credential plugin alone takes some; the plan has been printed before.
_SECONDS = 10.0


def run_plan(console: Console, plan: Plan, *, offline: bool, context: str | None) -> None:
    """Print the plan, and unless offline the nodes that could run it, or why they are unknown.

    Args:
        console: Where to print.
        plan: The plan.
        offline: Ask no cluster; nor is one asked where there is no kubeconfig.
        context: A context of the kubeconfig; None: the current one.
    """
    show_plan(console, plan)
    if offline or (context is None and not has_kubeconfig()):
        return
    with asyncio.Runner() as runner:  # closing it waits for a silent name server
        try:
            with console.status("asking the cluster for its nodes (--offline leaves this out)"):
                nodes = runner.run(_read_nodes(context))
        except (RunError, TimeoutError) as error:
            reason = str(error) or f"the cluster did not answer within {_SECONDS:g} s"
            note = (
                f"note: the cluster's nodes are not compared: {reason} (--offline leaves this out)"
            )
            console.print(Text(f"\n{note}"), soft_wrap=True)
        else:
            show_nodes(console, plan, nodes)


async def _read_nodes(context: str | None) -> tuple[Resource, ...]:
    async with asyncio.timeout(_SECONDS), open_connection(context) as connection:
        return await connection.cluster.list(NODE, None)
