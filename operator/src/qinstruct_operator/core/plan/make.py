"""The plan: every question that a run raises, answered. Pure.

`make_plan` is the only place where defaults that depend on size and strategy are filled in;
builders, local mode and the plan's view read the finished `Plan` and decide nothing.
"""

from dataclasses import dataclass
from typing import TypeVar

from qinstruct_operator.api.spec import Spec
from qinstruct_operator.api.spec_ops import Scheduling
from qinstruct_operator.api.v1alpha1 import QInstructTraining
from qinstruct_operator.catalog import recipes
from qinstruct_operator.catalog.sizes import (
    GPUS_PER_DOCUMENTED_RUN,
    PRODUCT_GIGABYTES,
    SIZES,
    TINY_DEADLINE_SECONDS,
    GpuClass,
    Size,
)
from qinstruct_operator.core import names
from qinstruct_operator.core.plan import checks, disk
from qinstruct_operator.core.plan.memory import MemoryEstimate, estimate
from qinstruct_operator.core.plan.sources import builtin_source, planned_sources, source_names
from qinstruct_operator.core.quantity import parse_quantity
from qinstruct_operator.errors import InvalidSpec, Violation
from qinstruct_operator.settings import Settings
from qinstruct_trainer.contract import output_files
from qinstruct_trainer.contract.batch import accumulation_steps, default_micro_batch_size, num_steps
from qinstruct_trainer.contract.config import Checkpointing, ModelSource, PrepConfig, RunConfig
from qinstruct_trainer.contract.errors import ConfigError

DEFAULT_MAX_MISSING = 1000  # 355 of OCR-VQA's images are known to be lost; room for as many again

T = TypeVar("T")


@dataclass(frozen=True)
class Owner:
    """The run's own object, for ownerReferences."""

    name: str
    uid: str


@dataclass(frozen=True)
class GpuPlan:
    """GPUs of the training pod.

    Attributes:
        product: exact product, or None for any of the class.
        strict: select by nodeSelector.
        allow_larger: nodes with more memory will do.
    """

    per_node: int
    gpu_class: GpuClass
    product: str | None
    strict: bool
    allow_larger: bool


@dataclass(frozen=True)
class Claim:
    """A volume claim; `size` None: it exists already and is not ours to create."""

    name: str
    size: str | None
    storage_class: str | None
    owned: bool


@dataclass(frozen=True)
class Plan:
    """Everything about a run that its builders need, and that `qinstruct plan` shows.

    Attributes:
        owner: None outside a cluster: children then carry no ownerReference.
        num_processes: processes that torchrun starts.
        deadline_seconds: longest attempt.
        memory: of one GPU; None for a size without GPUs.
        cache_bytes, output_bytes: disk that the run needs.
        num_records, num_steps: from the published record counts; None when one is unknown.
        hours: documented, scaled to epochs and GPUs; for one epoch on 8 the published figure.
        gpu_hours: the same times GPUs.
    """

    name: str
    namespace: str
    owner: Owner | None
    settings: Settings
    size: Size
    gpu: GpuPlan | None
    num_processes: int
    prep_config: PrepConfig
    run_config: RunConfig
    cache_claim: Claim
    output_claim: Claim
    scheduling: Scheduling
    deadline_seconds: int
    memory: MemoryEstimate | None
    cache_bytes: int
    output_bytes: int
    num_records: int | None
    num_steps: int | None
    hours: float
    gpu_hours: float


def make_plan(training: QInstructTraining, settings: Settings) -> Plan:
    """Answer every question of a run.

    Raises:
        InvalidSpec: with every violation found.
    """
    spec, name = training.spec, training.metadata.name
    found = checks.violations(spec)
    if found:
        raise InvalidSpec(found)
    size = SIZES[spec.size]
    gpu = _gpu(spec, size)
    num_processes = gpu.per_node if gpu else recipes.TINY_PROCESSES
    prep_config = _prep_config(spec, name, settings)
    run_config = _run_config(spec, name, settings, num_processes)
    memory = _memory(run_config, prep_config.max_length, size, gpu)
    hours = _hours(size, run_config, gpu)
    records = [s.num_records for s in prep_config.sources if s.kind == "labels"]
    num_records = sum(r for r in records if r) if records and all(records) else None
    uid = training.metadata.uid
    output_bytes = disk.output_bytes(size.network, spec.checkpoint.keep)
    return Plan(
        name=name,
        namespace=training.metadata.namespace or settings.namespace,
        owner=Owner(name, uid) if uid else None,
        settings=settings,
        size=size,
        gpu=gpu,
        num_processes=num_processes,
        prep_config=prep_config,
        run_config=run_config,
        cache_claim=_cache_claim(spec, settings, prep_config),
        output_claim=_output_claim(spec, name, output_bytes),
        scheduling=spec.scheduling,
        deadline_seconds=spec.scheduling.active_deadline_seconds or _deadline_seconds(hours, gpu),
        memory=memory,
        cache_bytes=disk.cache_bytes(prep_config.sources, size.network),
        output_bytes=output_bytes,
        num_records=num_records,
        num_steps=num_steps(num_records, run_config.global_batch_size, run_config.epochs)
        if num_records
        else None,
        hours=hours,
        gpu_hours=hours * gpu.per_node if gpu else 0.0,
    )


def _gpu(spec: Spec, size: Size) -> GpuPlan | None:
    if size.gpu is None:
        return None
    return GpuPlan(
        per_node=spec.gpu.per_node,
        gpu_class=size.gpu,
        product=None if spec.gpu.product == "auto" else spec.gpu.product,
        strict=spec.gpu.strict,
        allow_larger=spec.gpu.allow_larger,
    )


def _hours(size: Size, config: RunConfig, gpu: GpuPlan | None) -> float:
    """The documented hours, for so many epochs and GPUs."""
    hours = size.hours[config.strategy] * config.epochs
    return hours * GPUS_PER_DOCUMENTED_RUN / gpu.per_node if gpu else hours


def _deadline_seconds(hours: float, gpu: GpuPlan | None) -> int:
    """Twice the documented time; without GPUs an hour, however slow the machine is."""
    return int(2 * hours * 3600) if gpu else TINY_DEADLINE_SECONDS


def _prep_config(spec: Spec, name: str, settings: Settings) -> PrepConfig:
    sources = planned_sources(
        source_names(spec.size, spec.strategy, spec.data.sources), spec.data.sources
    )
    dropping = spec.data.missing_images == "Drop"
    allowed = spec.data.max_missing
    return PrepConfig(
        run=name,
        cache=settings.cache_path,
        output=settings.output_path,
        sources=sources or (builtin_source(spec.strategy),),
        model=_model_source(spec),
        missing_images=spec.data.missing_images,
        max_missing=(DEFAULT_MAX_MISSING if allowed is None else allowed) if dropping else 0,
        max_length=_chosen(spec.training.max_length, recipes.shared(spec.size).max_length),
        seed=spec.training.seed,
    )


def _model_source(spec: Spec) -> ModelSource:
    if spec.size == "Tiny":
        if spec.model.base is None:
            return ModelSource(kind="tiny")
        return ModelSource(kind="llava", base=spec.model.base, revision=spec.model.revision)
    run = recipes.RUNS[spec.size, spec.strategy]
    return ModelSource(
        kind="vicuna" if run.projector else "llava",
        base=spec.model.base or run.base,
        revision=spec.model.revision,
        projector=run.projector,
        vision_tower=recipes.VISION_TOWER,
    )


def _run_config(spec: Spec, name: str, settings: Settings, num_processes: int) -> RunConfig:
    wish, recipe = spec.training, recipes.shared(spec.size)
    global_batch_size = _chosen(wish.global_batch_size, recipe.global_batch_size)
    return RunConfig(
        run=name,
        size=spec.size,
        strategy=spec.strategy,
        prepared=settings.output_path / output_files.PREPARED,
        output=settings.output_path,
        world_size=num_processes,
        global_batch_size=global_batch_size,
        micro_batch_size=_micro_batch_size(spec, global_batch_size, num_processes),
        epochs=_chosen(wish.epochs, recipe.epochs),
        learning_rate=_chosen(wish.learning_rate, recipe.learning_rate),
        warmup_ratio=_chosen(wish.warmup_ratio, recipe.warmup_ratio),
        weight_decay=_chosen(wish.weight_decay, recipe.weight_decay),
        gradient_clipping=_chosen(wish.gradient_clipping, recipe.gradient_clipping),
        group_by_modality=recipes.groups_by_modality(spec.strategy),
        zero_stage=_chosen(wish.zero_stage, recipe.zero_stage),
        precision=recipe.precision,
        attention=_chosen(wish.attention, recipe.attention),
        activation_checkpointing=_chosen(
            wish.activation_checkpointing, recipe.activation_checkpointing
        ),
        seed=wish.seed,
        checkpoint=Checkpointing(
            every_minutes=_chosen(spec.checkpoint.every_minutes, recipe.checkpoint_minutes),
            keep=spec.checkpoint.keep,
        ),
    )


def _micro_batch_size(spec: Spec, global_batch_size: int, num_processes: int) -> int:
    """The user's, if the batch triangle closes; else the largest up to the recipe's that does."""
    wish = spec.training.micro_batch_size
    try:
        if wish is None:
            at_most = recipes.shared(spec.size).micro_batch_size
            return default_micro_batch_size(global_batch_size, num_processes, at_most)
        accumulation_steps(global_batch_size, wish, num_processes)
    except ConfigError as error:
        reason, _, fix = str(error).partition("; ")
        field, value = ("globalBatchSize", global_batch_size)
        if wish is not None:
            field, value = ("microBatchSize", wish)
        violation = Violation(f"spec.training.{field}", value, reason, fix)
        raise InvalidSpec([violation]) from error
    return wish


def _memory(
    config: RunConfig, max_length: int, size: Size, gpu: GpuPlan | None
) -> MemoryEstimate | None:
    """The estimate, which must fit.

    Raises:
        InvalidSpec: the worst batch does not fit a GPU.
    """
    if gpu is None or size.network is None:
        return None
    gigabytes = PRODUCT_GIGABYTES[gpu.product] if gpu.product else gpu.gpu_class.gigabytes
    result = estimate(
        size.network,
        num_gpus=gpu.per_node,
        gigabytes=gigabytes,
        micro_batch_size=config.micro_batch_size,
        max_length=max_length,
        zero_stage=config.zero_stage,
        attention=config.attention,
        activation_checkpointing=config.activation_checkpointing,
    )
    if not result.fits:
        violation = Violation(
            "spec.training.microBatchSize",
            config.micro_batch_size,
            f"the longest batch of size {config.size} does not fit: {result.sentence()}",
            "lower microBatchSize or maxLength, use zeroStage 3 and activationCheckpointing, "
            "or GPUs with more memory (gpu.product, gpu.perNode)",
        )
        raise InvalidSpec([violation])
    return result


def _cache_claim(spec: Spec, settings: Settings, config: PrepConfig) -> Claim:
    if spec.data.claim_name:
        return Claim(spec.data.claim_name, None, None, owned=False)
    if spec.size == "Tiny" and all(source.kind == "builtin" for source in config.sources):
        size = disk.quantity(2 * disk.cache_bytes(config.sources, None))
        return Claim(names.TINY_CACHE_CLAIM, size, settings.cache_storage_class, owned=False)
    return Claim(names.CACHE_CLAIM, settings.cache_size, settings.cache_storage_class, owned=False)


def _output_claim(spec: Spec, name: str, num_bytes: int) -> Claim:
    """The run's own claim, which must be large enough: a full one stops the run hours later.

    Raises:
        InvalidSpec: the size asked for is too small.
    """
    output = spec.output
    if output.claim_name:
        return Claim(output.claim_name, None, None, owned=False)
    needed = disk.quantity(num_bytes)
    if output.size and (parse_quantity(output.size) or 0) < num_bytes:
        violation = Violation(
            "spec.output.size",
            output.size,
            f"is less than the {needed} that {spec.checkpoint.keep + 1} checkpoints and the "
            "exported model take",
            f"use at least {needed}, or remove it",
        )
        raise InvalidSpec([violation])
    return Claim(
        names.output_name(name),
        output.size or needed,
        output.storage_class_name,
        owned=not output.retain,
    )


def _chosen(wish: T | None, default: T) -> T:
    """The user's wish, or the default where there is none (0 is a wish)."""
    return default if wish is None else wish
