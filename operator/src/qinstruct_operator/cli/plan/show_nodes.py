"""Draw which nodes of a cluster could ever run a run's pods."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from qinstruct_operator.cli.tables import print_section
from qinstruct_operator.cli.terminal import sanitize
from qinstruct_operator.cluster.port import Resource
from qinstruct_operator.core.fit.nodes import Fit, node_fit, pods_of, read_node
from qinstruct_operator.core.plan.types import Plan

_NAMES = 6  # of the nodes of one verdict; the rest is counted
_VERDICTS = 8  # of a pod; a node that differs in a byte of memory must not cost a line each


def show_nodes(console: Console, plan: Plan, nodes: Sequence[Resource]) -> None:
    """Print how many nodes could run either pod, and for the others why not."""
    pods = pods_of(plan)
    fits = sorted((node_fit(pods, read_node(raw)) for raw in nodes), key=lambda fit: fit.node)
    train = [(fit, fit.train) for fit in fits]
    prep = [(fit, fit.prep) for fit in fits]
    print_section(
        console, "Nodes", [*_rows("training pod", train), *_rows("preparation pod", prep)]
    )
    for name, verdicts in (("training", train), ("preparation", prep)):
        if all(why for _, why in verdicts):
            warning = (
                f"no node of this cluster can ever run the {name} pod: it waits until one joins"
            )
            console.print(Text(f"\nwarning: {warning}", style="yellow"))


def _rows(pod: str, fits: Sequence[tuple[Fit, tuple[str, ...]]]) -> Iterator[tuple[str, str]]:
    able = [_name(fit) for fit, why in fits if not why]
    total = f"{len(fits)} node{'' if len(fits) == 1 else 's'}"
    fitting = f"{len(able)} of {total} can ever fit"
    yield pod, f"{fitting}: {_listed(able)}" if able else fitting
    unable: dict[str, list[str]] = defaultdict(list)
    for fit, why in fits:
        if why:
            unable["; ".join(why)].append(_name(fit))
    verdicts = sorted(unable.items(), key=lambda verdict: (-len(verdict[1]), verdict[0]))
    for why_not, names in verdicts[:_VERDICTS]:
        yield "", f"{len(names)} cannot: {sanitize(why_not)}: {_listed(names)}"
    rest = [name for _, names in verdicts[_VERDICTS:] for name in names]
    if rest:
        yield "", f"{len(rest)} cannot, for other reasons: {_listed(rest)}"


def _name(fit: Fit) -> str:
    return sanitize(fit.node) + (f" ({', '.join(fit.now)})" if fit.now else "")


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMES
    return ", ".join(names[:_NAMES]) + (f" and {more} more" if more > 0 else "")
