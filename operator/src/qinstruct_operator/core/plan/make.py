"""Make the plan of a run, or list everything that is wrong with its spec. Pure.

`make_plan` joins the modules of this package; builders, local mode and `qinstruct plan` read the
finished `Plan` and decide nothing.
"""

from qinstruct_operator.api.v1alpha1 import QInstructTraining
from qinstruct_operator.catalog.sizes import SIZES, SizeFacts
from qinstruct_operator.core.plan import checks, claims, configs, disk, gpus, hours
from qinstruct_operator.core.plan.allowed import allowed_violations
from qinstruct_operator.core.plan.memory import MemoryEstimate, estimate, memory_violations
from qinstruct_operator.core.plan.sources import num_records
from qinstruct_operator.core.plan.types import GpuPlan, Owner, Plan
from qinstruct_operator.errors import InvalidSpec, Violation
from qinstruct_operator.settings import Settings
from qinstruct_trainer.contract.batch import num_steps
from qinstruct_trainer.contract.config import RunConfig


def make_plan(training: QInstructTraining, settings: Settings) -> Plan:
    """Plan a run.

    Raises:
        InvalidSpec: with every violation. Memory is not estimated if the batch sizes do not
            divide, nor for a GPU product that is refused.
    """
    spec, name, uid = training.spec, training.metadata.name, training.metadata.uid
    size = SIZES[spec.size]
    gpu = gpus.gpu_plan(spec)
    prep_config = configs.prep_config(spec, name, settings)
    run_config = configs.run_config(spec, name, settings, gpus.num_processes(gpu))
    output_bytes = disk.output_bytes(size.network, spec.checkpoint.keep)
    found = [*checks.violations(spec), *allowed_violations(spec, settings)]
    memory = None
    if isinstance(run_config, Violation):
        found.append(run_config)
    else:
        memory = _worst_batch(run_config, prep_config.max_length, size, gpu)
        if memory and gpu and gpu.is_large_enough:
            found += memory_violations(memory, run_config)
        found += configs.attention_violations(run_config, settings)
    found += claims.output_violations(spec, output_bytes)
    if found or isinstance(run_config, Violation):
        raise InvalidSpec(found)
    time = hours.documented_hours(size, run_config, gpu)
    records = num_records(prep_config.sources)
    return Plan(
        name=name,
        namespace=training.metadata.namespace or settings.namespace,
        owner=Owner(name, uid, training.metadata.generation) if uid else None,
        spec=spec,
        settings=settings,
        size=size,
        gpu=gpu,
        backend=spec.backend,
        num_processes=run_config.world_size,
        prep_config=prep_config,
        run_config=run_config,
        cache_claim=claims.cache_claim(spec, settings, prep_config.sources),
        output_claim=claims.output_claim(spec, name, output_bytes),
        deadline_seconds=hours.deadline_seconds(spec.scheduling, time, gpu),
        memory=memory,
        cache_bytes=disk.cache_bytes(
            prep_config.sources, size.network, keep_archives=prep_config.keep_archives
        ),
        pixel_bytes=disk.pixel_bytes(spec),
        output_bytes=output_bytes,
        num_records=records,
        num_steps=num_steps(records, run_config.global_batch_size, run_config.epochs)
        if records
        else None,
        hours=time,
        gpu_hours=hours.gpu_hours(time, gpu),
    )


def _worst_batch(
    config: RunConfig, max_length: int, size: SizeFacts, gpu: GpuPlan | None
) -> MemoryEstimate | None:
    """Memory of the longest batch on one GPU; None without GPUs."""
    if gpu is None or size.network is None:
        return None
    return estimate(
        size.network,
        num_gpus=gpu.per_node,
        gigabytes=gpu.gigabytes,
        micro_batch_size=config.micro_batch_size,
        max_length=max_length,
        zero_stage=config.zero_stage,
        attention=config.attention,
        activation_checkpointing=config.activation_checkpointing,
        packing=config.packing,
    )
