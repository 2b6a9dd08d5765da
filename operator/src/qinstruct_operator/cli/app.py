"""The commands of `qinstruct`: their options, and the call that each makes."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qinstruct_operator.catalog.recipes import VISION_TOWER
from qinstruct_operator.cli.document import load_document
from qinstruct_operator.constants import VERSION
from qinstruct_operator.core.names import CACHE_CLAIM
from qinstruct_trainer.contract.errors import StorageError
from qinstruct_trainer.contract.launch import contents_command

if TYPE_CHECKING:
    from rich.console import Console

    from qinstruct_operator.core.plan.types import Plan

_PIPED_WIDTH = 200  # columns of a table in a file or a pipe: room for an address in one piece

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

File = Annotated[str, typer.Argument(metavar="FILE", help="A QInstructTraining; - reads stdin.")]
Context = Annotated[
    str | None, typer.Option(help="Context of the kubeconfig. [default: the current one]")
]
Namespace = Annotated[
    str | None,
    typer.Option("--namespace", "-n", help="Namespace. [default: the kubeconfig context's]"),
]
Config = Annotated[Path, typer.Option("--config", help="The JSON that the operator has written.")]


cache_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Look after a cache of prepared data: what is in it, is it whole, what may go.",
)
app.add_typer(cache_app, name="cache")
DEFAULT_WORKDIR = Path("runs")
DEFAULT_CACHE = DEFAULT_WORKDIR / "cache"  # as `run_locally` has it
Cache = Annotated[Path, typer.Option("--cache", help="The cache.")]
Ended = Annotated[
    list[str] | None,
    typer.Option(help="A run of another machine or of a cluster that has ended; may be repeated."),
]
EndAfter = Annotated[
    str | None, typer.Option(metavar="AGE", help="So have all that were prepared longer ago.")
]


@app.callback(invoke_without_command=True)
def about(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="With --version: all that is installed, and what can run."),
    ] = False,
) -> None:
    """Tune LLaVA-v1.5 on Q-Instruct, on a cluster or on this machine, from one YAML file."""
    if as_json and not version:
        raise typer.BadParameter("--json goes with --version")
    if as_json:
        command = contents_command(sys.executable)
        os.execv(command[0], command)
    if version:
        _print_document(f"qinstruct {VERSION}\n")
        raise typer.Exit


@app.command()
def run(
    file: File,
    workdir: Annotated[Path, typer.Option(help="Holds one folder per run.")] = DEFAULT_WORKDIR,
    cache: Annotated[
        Path | None, typer.Option(help="Prepared data, shared by runs. [default: WORKDIR/cache]")
    ] = None,
) -> None:
    """Prepare, train, export and evaluate on this machine; the same command goes on."""
    from qinstruct_operator.cli.local.run_command import run_locally

    raise typer.Exit(run_locally(_console(), file, workdir, cache))


@app.command()
def plan(
    file: File,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask any cluster.")] = False,
    context: Context = None,
) -> None:
    """Show what a run would take: recipe, GPUs, memory, disk, hours, children.

    Where there is a kubeconfig, also which nodes of its cluster could ever run it.
    """
    from qinstruct_operator.cli.plan.plan_command import run_plan

    run_plan(_console(), _load_plan(file), offline=offline, context=context)


@app.command()
def render(file: File) -> None:
    """Print the manifests of all children as YAML, in apply order."""
    from qinstruct_operator.core.children import build_children
    from qinstruct_operator.core.render import render_yaml

    _print_document(render_yaml(child.manifest for child in build_children(_load_plan(file))))


@app.command()
def status(
    name: Annotated[str | None, typer.Argument(help="A run; without one, all runs.")] = None,
    namespace: Namespace = None,
    all_namespaces: Annotated[
        bool, typer.Option("--all-namespaces", "-A", help="Runs of all namespaces.")
    ] = False,
    context: Context = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Look again until the run has ended.")
    ] = False,
) -> None:
    """Show the runs of a cluster, or everything known of one.

    Exit code: 0 the run is under way or complete, 70 it failed, 78 its spec is refused,
    69 it is not there or the cluster cannot be asked. With --watch, 0 means complete.
    """
    import asyncio

    from qinstruct_operator.cli.cluster.status_command import run_status

    if name is not None and all_namespaces:
        raise typer.BadParameter("a run is in one namespace; give NAME or --all-namespaces")
    code = asyncio.run(
        run_status(
            _console(),
            name,
            namespace=namespace,
            all_namespaces=all_namespaces,
            context=context,
            watch=watch,
        )
    )
    raise typer.Exit(code)


@app.command()
def logs(
    name: Annotated[str, typer.Argument(help="A run.")],
    namespace: Namespace = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="From the beginning, until the run has ended.")
    ] = False,
    prep: Annotated[bool, typer.Option("--prep", help="The preparation's log.")] = False,
    train: Annotated[bool, typer.Option("--train", help="The training's log.")] = False,
    attempt: Annotated[
        int | None, typer.Option(min=1, help="The training's log of this attempt.")
    ] = None,
    tail: Annotated[
        int, typer.Option(min=1, help="Number of last lines, where the log is not followed.")
    ] = 1000,
    raw: Annotated[bool, typer.Option("--raw", help="Lines as the pod has printed them.")] = False,
    context: Context = None,
) -> None:
    """Print the log of the pod of a run that is, or was last, at work.

    With --follow and neither --prep nor --train, the pods that come after it too.
    """
    import asyncio

    from qinstruct_operator.cli.cluster.logs_command import run_logs
    from qinstruct_operator.cli.cluster.pods import PodSelector
    from qinstruct_operator.cli.cluster.show_log import open_printer

    if prep and (train or attempt):
        raise typer.BadParameter("--prep goes with neither --train nor --attempt")
    selector = PodSelector("prep" if prep else "train" if train or attempt else None, attempt)
    printer = open_printer(_console(), raw=raw)
    try:
        asyncio.run(
            run_logs(
                printer,
                name,
                selector,
                namespace=namespace,
                context=context,
                follow=follow,
                tail=tail,
            )
        )
    finally:
        printer.close()


@app.command()
def data(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A label file, a run's folder or prepared.json, or an index."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The page.")] = Path("report.html"),
    images: Annotated[
        Path | None, typer.Option(help="Folder that the images of a label file are below.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the random records.")] = 0,
    samples: Annotated[int, typer.Option(min=0, max=500, help="Random records to show.")] = 24,
) -> None:
    """Report on labels or prepared data: counts, lengths, kinds, images, and random records.

    Prints tables, and writes one HTML file with the records' pictures.
    """
    from qinstruct_operator.cli.data.data_command import report_data

    report_data(_console(), file, output, images, seed=seed, samples=samples)


@cache_app.command("ls")
def cache_ls(
    cache: Cache = DEFAULT_CACHE,
    ended: Ended = None,
    runs_end_after: EndAfter = None,
    as_json: Annotated[bool, typer.Option("--json", help="All that is known, as JSON.")] = False,
) -> None:
    """List units and partial downloads: size, age, last use, by which runs, whole or not."""
    from qinstruct_operator.cli.cache.cache_command import EndedRuns, list_cache

    runs = EndedRuns(ended or (), runs_end_after)
    raise typer.Exit(list_cache(_console(), cache, runs, as_json=as_json))


@cache_app.command("verify")
def cache_verify(cache: Cache = DEFAULT_CACHE) -> None:
    """Read every file and compare it with its digest; change nothing.

    Exit code: 65 if a unit is damaged.
    """
    from qinstruct_operator.cli.cache.cache_command import verify_cache

    raise typer.Exit(verify_cache(_console(), cache))


@cache_app.command("prune")
def cache_prune(
    cache: Cache = DEFAULT_CACHE,
    unused: Annotated[
        str | None, typer.Option(metavar="AGE", help="What no run has begun to use since: 30d.")
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Only so much that this much stays: 500Gi."),
    ] = None,
    unreferenced: Annotated[
        bool, typer.Option("--unreferenced", help="What no run that is still there has used.")
    ] = False,
    ended: Ended = None,
    runs_end_after: EndAfter = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete it.")] = False,
) -> None:
    """Show what may be deleted, or delete it: never what a run needs that has not ended."""
    from qinstruct_operator.cli.cache.cache_command import EndedRuns, PruneConditions, prune_cache

    conditions = PruneConditions(unused, keep, unreferenced)
    runs = EndedRuns(ended or (), runs_end_after)
    raise typer.Exit(prune_cache(_console(), cache, conditions, runs, yes=yes))


@cache_app.command("export")
def cache_export(
    unit: Annotated[
        str,
        typer.Argument(metavar="UNIT", help="A unit's name, a part of it, or labels[:NAME]."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder or file to make.")],
    cache: Cache = DEFAULT_CACHE,
    link: Annotated[
        bool, typer.Option("--link", help="Hard links instead of copies: never change them.")
    ] = False,
) -> None:
    """Copy a unit's files; `labels` writes mix_cleaned_labels.json, as `jq -s add` does."""
    from qinstruct_operator.cli.cache.cache_command import export_unit

    raise typer.Exit(export_unit(_console(), cache, unit, output, link=link))


@cache_app.command(
    "job", context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
)
def cache_job(
    context: typer.Context,
    command: Annotated[
        str, typer.Argument(metavar="ls|verify|prune", help="And its options, as they are here.")
    ],
    claim: Annotated[str, typer.Option(help="The cache's claim.")] = CACHE_CLAIM,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Its namespace.")] = "default",
) -> None:
    """Print a Job that runs ls, verify or prune in the cluster: `| kubectl create -f -`."""
    from dataclasses import replace

    from qinstruct_operator.cli.cache.cache_command import check_options
    from qinstruct_operator.cli.cache.cache_job import build_cache_job
    from qinstruct_operator.cli.cache.options import namespace_name, object_name
    from qinstruct_operator.core.render import render_yaml
    from qinstruct_operator.settings import Settings

    if command not in ("ls", "verify", "prune"):
        raise typer.BadParameter(f"{command:.40} is none of ls, verify, prune")
    check_options(typer.main.get_command(cache_app), command, context.args)
    object_name("--claim", claim)
    settings = replace(
        Settings.from_env(os.environ), namespace=namespace_name("--namespace", namespace)
    )
    _print_document(render_yaml([build_cache_job(settings, claim, command, context.args)]))


@app.command()
def crd() -> None:
    """Print the CustomResourceDefinition as YAML."""
    from qinstruct_operator.api.crd import crd_yaml

    _print_document(crd_yaml())


@app.command()
def prep(config: Config) -> None:
    """Fetch, verify and index a run's data, inside a pod or to debug."""
    _exec_trainer("prep", config)


@app.command()
def train(config: Config) -> None:
    """Train on prepared data in all the processes that the config asks for."""
    _exec_trainer("train", config)


@app.command()
def convert(
    model: Annotated[Path, typer.Argument(help="A run's model, or another in that layout.")],
    folder: Annotated[Path, typer.Argument(help="A new folder; LLaVA wants `llava` in its name.")],
    vision_tower: Annotated[
        str, typer.Option(help="CLIP, as LLaVA's config.json names it: a repository or a folder.")
    ] = VISION_TOWER,
    without_tower: Annotated[
        bool, typer.Option("--without-tower", help="Leave CLIP's own weights out.")
    ] = False,
) -> None:
    """Write a finished model as the original LLaVA's own code reads it, for its tools."""
    from qinstruct_operator.cli.convert.convert_command import convert_model

    convert_model(_console(), model, folder, vision_tower, with_tower=not without_tower)


def _load_plan(file: str) -> "Plan":
    """The plan for a cluster, with the operator's settings as they stand in the environment."""
    from qinstruct_operator.api.parse import parse
    from qinstruct_operator.core.plan.make import make_plan
    from qinstruct_operator.settings import Settings

    return make_plan(parse(load_document(file)), Settings.from_env(os.environ))


def _print_document(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise  # the reader has closed the pipe; typer ends quietly
    except OSError as error:
        raise StorageError(f"standard output cannot be written: {error.strerror}") from error


def _console() -> "Console":
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else _PIPED_WIDTH)


def _exec_trainer(command: str, config: Path) -> None:
    arguments = [sys.executable, "-m", "qinstruct_trainer", command, "--config", str(config)]
    os.execv(arguments[0], arguments)
