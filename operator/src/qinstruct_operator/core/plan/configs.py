"""The configs that prep and training read, made from a spec. Pure.

Defaults that depend on size and strategy are filled in here: every field of `spec.training`
reaches the trainer through `run_config`.
"""

from collections.abc import Iterator
from typing import TypeVar

from qinstruct_operator.api.spec import Spec
from qinstruct_operator.catalog import recipes
from qinstruct_operator.catalog.sizes import SIZES, Network
from qinstruct_operator.core.plan import batch, disk
from qinstruct_operator.core.plan.sources import (
    builtin_source,
    max_bytes,
    planned_sources,
    source_names,
)
from qinstruct_operator.errors import Violation
from qinstruct_operator.settings import Settings
from qinstruct_trainer.contract import output_files
from qinstruct_trainer.contract.config import (
    Checkpointing,
    ModelSource,
    PrepConfig,
    RunConfig,
    Source,
)

T = TypeVar("T")


def prep_config(spec: Spec, name: str, settings: Settings) -> PrepConfig:
    """prep.json."""
    names = source_names(spec.size, spec.strategy, spec.data.sources)
    sources = planned_sources(names, spec.data.sources)
    network = SIZES[spec.size].network
    return PrepConfig(
        run=name,
        cache=settings.cache_path,
        output=settings.output_path,
        sources=sources or (builtin_source(spec.strategy),),
        model=_model_source(spec),
        missing_images=spec.data.missing_images,
        max_missing=_max_missing(spec),
        max_length=_chosen(spec.training.max_length, recipes.recipe_of(spec.size).max_length),
        seed=spec.training.seed,
        max_bytes=max_bytes(names, spec.data.sources),
        private_networks=settings.allowed_networks,
        keep_archives=spec.data.keep_archives,
        pixel_store=spec.data.pixel_store,
        cache_bytes=_cache_bytes(spec, sources, network),
        output_bytes=disk.least_output_bytes(network, spec.checkpoint.keep),
    )


def _cache_bytes(spec: Spec, sources: tuple[Source, ...], network: Network | None) -> int:
    """What prep asks of an empty cache; 0 of size Tiny."""
    if network is None:
        return 0
    return disk.cache_bytes(sources, network, keep_archives=spec.data.keep_archives)


def _max_missing(spec: Spec) -> int:
    if spec.data.missing_images == "Fail":
        return 0
    return _chosen(spec.data.max_missing, recipes.DEFAULT_MAX_MISSING)


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


def run_config(
    spec: Spec, name: str, settings: Settings, num_processes: int
) -> RunConfig | Violation:
    """run.json, or the violation if the batch sizes do not divide."""
    training, recipe = spec.training, recipes.recipe_of(spec.size)
    micro_batch_size = batch.micro_batch_size(spec, num_processes)
    if isinstance(micro_batch_size, Violation):
        return micro_batch_size
    return RunConfig(
        run=name,
        size=spec.size,
        strategy=spec.strategy,
        prepared=settings.output_path / output_files.PREPARED,
        output=settings.output_path,
        world_size=num_processes,
        global_batch_size=batch.global_batch_size(spec),
        micro_batch_size=micro_batch_size,
        epochs=_chosen(training.epochs, recipe.epochs),
        learning_rate=_chosen(training.learning_rate, recipe.learning_rate),
        warmup_ratio=_chosen(training.warmup_ratio, recipe.warmup_ratio),
        weight_decay=_chosen(training.weight_decay, recipe.weight_decay),
        gradient_clipping=_chosen(training.gradient_clipping, recipe.gradient_clipping),
        group_by_modality=recipes.groups_by_modality(spec.strategy),
        zero_stage=_chosen(training.zero_stage, recipe.zero_stage),
        precision=recipe.precision,
        attention=_chosen(
            training.attention,
            recipes.PREFIX_ATTENTION if training.packing == "prefix" else recipe.attention,
        ),
        packing=training.packing,
        activation_checkpointing=_chosen(
            training.activation_checkpointing, recipe.activation_checkpointing
        ),
        seed=training.seed,
        checkpoint=Checkpointing(
            every_minutes=_chosen(spec.checkpoint.every_minutes, recipe.checkpoint_minutes),
            keep=spec.checkpoint.keep,
        ),
        in_place_retries=spec.recovery.in_place_retries,
    )


def attention_violations(config: RunConfig, settings: Settings) -> Iterator[Violation]:
    """The trainer image must have the kernel: found out now, not when the GPUs are held."""
    kernels = settings.attention_kernels
    if config.attention not in kernels:
        yield Violation(
            "spec.training.attention",
            config.attention,
            f"is not in the trainer image, which has {', '.join(kernels)} "
            "(QINSTRUCT_TRAINER_ATTENTION of the operator)",
            f"use {' or '.join(kernels)}, or give the operator an image that has it",
        )


def _chosen(value: T | None, default: T) -> T:
    """The user's value, or the default if there is none; 0 is a value."""
    return default if value is None else value
