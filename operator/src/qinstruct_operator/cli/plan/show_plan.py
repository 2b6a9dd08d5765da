"""Draw a plan: what will be trained, on what, from what, for how long."""

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from qinstruct_operator.catalog.sizes import GPUS_PER_DOCUMENTED_RUN
from qinstruct_operator.catalog.sources import SOURCES
from qinstruct_operator.cli.humanize import duration_text, size_text
from qinstruct_operator.cli.tables import print_section, print_table
from qinstruct_operator.core.children import build_children
from qinstruct_operator.core.plan.claims import has_room
from qinstruct_operator.core.plan.types import GpuPlan, Plan
from qinstruct_operator.core.plan.warnings import warnings
from qinstruct_trainer.contract.batch import accumulation_steps
from qinstruct_trainer.contract.config import ModelSource
from qinstruct_trainer.contract.urls import shown_url


def show_plan(console: Console, plan: Plan) -> None:
    """Print every part of the plan."""
    run = plan.run_config
    console.print(Text(f"{plan.name}: size {run.size}, strategy {run.strategy}", style="bold"))
    print_section(console, "Training", _training(plan))
    print_section(console, "Hardware", _hardware(plan))
    print_section(console, "Disk", _disk(plan))
    print_section(console, "Time", _time(plan))
    print_table(console, "Data, in the order of the merge", _SOURCE_COLUMNS, _sources(plan))
    print_table(console, "Children, in apply order", ("kind", "name", "purpose"), _children(plan))
    for warning in warnings(plan):
        console.print(Text(f"\nwarning: {warning}", style="yellow"))


def _training(plan: Plan) -> Iterator[tuple[str, str]]:
    run = plan.run_config
    passes = accumulation_steps(run.global_batch_size, run.micro_batch_size, run.world_size)
    yield "starting model", _model(plan.prep_config.model)
    yield (
        "global batch",
        f"{run.global_batch_size} = micro-batch {run.micro_batch_size} x accumulation {passes} x "
        f"world size {run.world_size}",
    )
    steps = f", {plan.num_steps:,} steps" if plan.num_steps else ""
    records = f" of {plan.num_records:,} records" if plan.num_records else ""
    yield "epochs", f"{run.epochs}{records}{steps}"
    clipping = f"{run.gradient_clipping:g}" if run.gradient_clipping else "off"
    yield (
        "optimizer",
        f"AdamW, learning rate {run.learning_rate:g}, cosine with {run.warmup_ratio:.0%} warm-up, "
        f"weight decay {run.weight_decay:g}, gradient clipping {clipping}",
    )
    order = "one modality a batch" if run.group_by_modality else "random"
    packed = "" if run.packing == "none" else f"packing {run.packing}, "
    yield "samples", f"up to {plan.prep_config.max_length} tokens, {order}, {packed}seed {run.seed}"
    recompute = "on" if run.activation_checkpointing else "off"
    yield (
        "engine",
        f"{run.precision}, ZeRO-{run.zero_stage}, attention {run.attention}, "
        f"activation checkpointing {recompute}",
    )
    save = run.checkpoint
    yield "checkpoints", f"every {save.every_minutes:g} min, newest {save.keep} kept"


def _model(source: ModelSource) -> str:
    if source.kind == "tiny":
        return "a tiny LLaVA, built from the seed"
    parts = [source.base + (f" at {source.revision}" if source.revision else "")]
    parts += [part for part in (source.projector, source.vision_tower) if part]
    return " + ".join(parts)


def _hardware(plan: Plan) -> Iterator[tuple[str, str]]:
    if plan.gpu is None:
        yield "GPUs", f"none; {plan.num_processes} processes on CPUs"
        return
    yield "GPUs", f"{plan.gpu.per_node} on one node"
    yield "nodes", _nodes(plan.gpu)
    if plan.memory is not None:
        yield "memory of the worst batch", plan.memory.sentence()


def _nodes(gpu: GpuPlan) -> str:
    if gpu.strict:
        return f"nodeSelector nvidia.com/gpu.product: {gpu.product or gpu.gpu_class.product}"
    if gpu.product:
        return f"any with {gpu.product}"
    larger = "or larger" if gpu.allow_larger else "and no larger"
    return (
        f"any with {gpu.gpu_class.gigabytes} GB GPUs {larger}: by the labels of GPU feature "
        f"discovery, GKE accelerators, or instance types {', '.join(gpu.gpu_class.instance_types)}"
    )


def _disk(plan: Plan) -> Iterator[tuple[str, str]]:
    unknown = any(s.kind != "builtin" and s.num_bytes is None for s in plan.prep_config.sources)
    more = ", and what the sources of unknown size take" if unknown else ""
    yield "shared cache", f"{size_text(plan.cache_bytes)}{more}; claim {plan.cache_claim.name}"
    yield "decoded images", _pixels(plan)
    kept = "deleted with the run" if plan.output_claim.owned else "kept when the run is deleted"
    yield "output", f"{size_text(plan.output_bytes)}; claim {plan.output_claim.name}, {kept}"


def _pixels(plan: Plan) -> str:
    if plan.pixel_bytes == 0:
        return "not stored (data.pixelStore: Never)"
    if plan.pixel_bytes is None:
        return "stored in the cache if all of them fit; their number is not known yet"
    claim = plan.cache_claim
    room = has_room(claim, plan.cache_bytes + plan.pixel_bytes)
    if room is None:
        fit = f"if claim {claim.name} has that left"
    elif room:
        fit = f"for which a claim of {claim.size} has room"
    else:
        fit = f"for which a claim of {claim.size} has no room: training decodes each image itself"
    return f"up to {size_text(plan.pixel_bytes)} more of the cache, {fit}"


def _time(plan: Plan) -> Iterator[tuple[str, str]]:
    if plan.gpu is None:
        yield "training", "minutes"
    else:
        scaled = (
            "documented"
            if plan.num_processes == GPUS_PER_DOCUMENTED_RUN
            else f"documented for {GPUS_PER_DOCUMENTED_RUN} GPUs, scaled"
        )
        yield "training", f"{plan.hours:.1f} hours ({scaled})"
        yield "cost", f"{plan.gpu_hours:.0f} GPU-hours"
    yield "longest attempt", duration_text(plan.deadline_seconds)


_SOURCE_COLUMNS = ("name", "size", "records", "licence", "address")


def _sources(plan: Plan) -> Iterator[tuple[str, ...]]:
    for source in plan.prep_config.sources:
        if source.kind == "builtin":
            yield (source.name, "", "", "", "made here: nothing is downloaded")
            continue
        yield (
            source.name,
            size_text(source.num_bytes) if source.num_bytes else "unknown",
            f"{source.num_records:,}" if source.num_records else "",
            SOURCES[source.name].licence,
            ", else ".join(map(shown_url, (source.url, *source.mirrors))),
        )


def _children(plan: Plan) -> Iterator[tuple[str, ...]]:
    for child in build_children(plan):
        kind, name = child.id
        yield kind.kind, name, child.purpose
