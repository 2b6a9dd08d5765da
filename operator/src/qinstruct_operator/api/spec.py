"""The spec: size, strategy and the groups that say what is trained, on what, and how.

Optional fields whose description says "Default:" are filled by the plan, because the answer
depends on `size` and `strategy`; all other defaults are in the schema.
"""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from qinstruct_operator.api.field_types import ApiModel, DnsName, Number, Quantity, SecretKeyRef
from qinstruct_operator.api.spec_operations import (
    Budget,
    Evaluation,
    PodPatch,
    Prep,
    Recovery,
    Scheduling,
    Tracking,
)
from qinstruct_operator.catalog.gpus import PRODUCT_GIGABYTES
from qinstruct_operator.catalog.recipes import DEFAULT_MAX_MISSING
from qinstruct_operator.catalog.sizes import (
    CHECKPOINT_BYTES,
    GPUS_PER_DOCUMENTED_RUN,
    PIXEL_BYTES,
    SIZES,
)
from qinstruct_operator.catalog.sources import DOWNLOAD_FACTOR, SOURCES, sources_of
from qinstruct_operator.constants import GPU_PRODUCT_LABEL, LABEL_USE, SECRET_PREFIX
from qinstruct_trainer.contract.config import (
    Attention,
    MissingImages,
    Packing,
    PixelStorePolicy,
    Size,
    Strategy,
    ZeroStage,
)
from qinstruct_trainer.contract.hub_files import FORM
from qinstruct_trainer.contract.object_urls import OBJECT_FORM

if TYPE_CHECKING:
    GpuProduct = str
    SourceName = str
else:
    GpuProduct = Literal["auto", *PRODUCT_GIGABYTES]
    SourceName = Literal[*SOURCES]

_GPU_CLASSES = {name: size.gpu.gigabytes for name, size in SIZES.items() if size.gpu}
_IN_BOTH = sources_of("after")
_IN_MIX_ALONE = [name for name in sources_of("mix") if name not in _IN_BOTH]


SourceUrl = Annotated[str, Field(min_length=1, max_length=2048)]
"""Address of a source's file."""


class Gpu(ApiModel):
    """Which GPUs, and how many."""

    product: GpuProduct = Field(
        default="auto",
        description="auto accepts any node whose GPUs are of the class that the size needs ("
        + ", ".join(f"{name}: A100 {gigabytes} GB" for name, gigabytes in _GPU_CLASSES.items())
        + f"). Anything else is a value of the node label {GPU_PRODUCT_LABEL}.",
    )
    per_node: int = Field(
        default=GPUS_PER_DOCUMENTED_RUN,
        ge=1,
        le=16,
        description="GPUs of the node; one process each.",
    )
    nodes: int = Field(default=1, ge=1, le=64, description="Nodes of one training.")
    strict: bool = Field(
        default=False,
        description="true selects nodes by the plain nodeSelector nvidia.com/gpu.product instead "
        "of by required affinity to GPU memory, GKE accelerator or instance type.",
    )
    allow_larger: bool = Field(
        default=True, description="With product auto: may use nodes with more GPU memory."
    )


class SourceOverride(ApiModel):
    """A mirror of a source, or a pinned version of it."""

    url: SourceUrl | None = Field(
        default=None,
        description="http://, https:// or file:// address of the same file, or one on the hub, "
        f"{FORM}, or of a store, {OBJECT_FORM}; of images also of a list of their addresses like "
        "OCR-VQA's dataset.json. Default: the published address.",
    )
    mirrors: Annotated[tuple[SourceUrl, ...], Field(strict=False)] = Field(
        default=(),
        max_length=8,
        description="Addresses of the same file, as url has them, tried in their order where url "
        "does not give it: no answer, something else, a file of another sha256.",
    )
    sha256: str | None = Field(
        default=None,
        min_length=64,
        max_length=64,
        pattern=r"^[0-9a-f]{64}$",
        description="SHA-256 of the file, lower-case hexadecimal; checked after the download.",
    )
    revision: str | None = Field(
        default=None,
        min_length=1,
        max_length=128,
        pattern=r"^[0-9A-Za-z][-0-9A-Za-z_.]*$",
        description="Commit, tag or branch of a hub repository, for url and for each of mirrors "
        "that is on a hub: takes the place of main in /resolve/main/, and of the one that an hf:// "
        "address does not name. A mirror that names another one is refused; of those on no hub "
        "sha256 alone holds the version. Only a whole commit (40 digits) pins: a branch moves.",
    )
    max_bytes: int | None = Field(
        default=None,
        ge=1,
        le=10**15,
        description="Most bytes that are downloaded of it. Default: "
        f"{DOWNLOAD_FACTOR} times the published size.",
    )


class Data(ApiModel):
    """Where the training data come from and how clean they must be."""

    claim_name: DnsName | None = Field(
        default=None,
        description=f"An existing ReadWriteMany claim for the shared cache, with the label "
        f"{LABEL_USE}: cache. Default: the namespace's claim qinstruct-cache, created when absent "
        "and never deleted.",
    )
    sources: dict[SourceName, SourceOverride] = Field(
        default_factory=dict,
        max_length=16,
        description=f"Overrides by the source's name: {', '.join(_IN_BOTH)}, and for mix also "
        f"{', '.join(_IN_MIX_ALONE)}. Size Tiny uses built-in data unless the first two are given.",
    )
    missing_images: MissingImages = Field(
        default="Fail",
        description="What to do when an image is missing or does not decode: Fail stops before "
        "any GPU is asked for, Drop leaves its records out.",
    )
    max_missing: int | None = Field(
        default=None,
        ge=0,
        le=1_000_000,
        description="Most records that Drop may leave out. Default: "
        f"{DEFAULT_MAX_MISSING} with Drop.",
    )
    keep_archives: bool = Field(
        default=False,
        description="Keep archives of images in the cache when they are extracted. Default: each "
        "is deleted then, if no other run needs it.",
    )
    pixel_store: PixelStorePolicy = Field(
        default="Auto",
        description="Whether decoded images are stored in the cache, from where training reads "
        f"them with the same result: Auto, {PIXEL_BYTES:,} bytes an image, if all of them fit "
        "beside what the run still needs; Never, training decodes each image in each epoch.",
    )
    token_secret_ref: SecretKeyRef | None = Field(
        default=None,
        description="Secret with the hub's token, for sources and models that are private or "
        "gated, and with the keys of stores, each by its name in the environment "
        f"(AWS_ACCESS_KEY_ID, ...). Its name begins with {SECRET_PREFIX}; only the prep pod gets "
        "it. `qinstruct run` takes its own environment instead.",
    )


class Model(ApiModel):
    """Where the starting weights come from."""

    base: str | None = Field(
        default=None,
        min_length=1,
        max_length=2048,
        description="Hub repository (owner/name), absolute folder or file:// address of the "
        "starting model. Default: lmsys/vicuna-{7b,13b}-v1.5 for mix, "
        "liuhaotian/llava-v1.5-{7b,13b} for after, a small random model for Tiny.",
    )
    revision: str | None = Field(
        default=None,
        min_length=1,
        max_length=128,
        pattern=r"^[0-9A-Za-z][-0-9A-Za-z_.]*$",
        description="Commit, tag or branch of the hub repository. Default: its main branch. A "
        "model in the cache is not asked for again: name a commit, and another one to renew it.",
    )


class Push(ApiModel):
    """Publish the finished model on the hub."""

    repo: str = Field(
        min_length=3,
        max_length=200,
        pattern=r"^[-\w.]+/[-\w.]+$",
        description="Hub repository (owner/name) that receives the model.",
    )
    secret_ref: SecretKeyRef = Field(description="Token with write access to the repository.")
    private: bool = Field(default=True, description="Create the repository as a private one.")


class Output(ApiModel):
    """Where checkpoints and the finished model go."""

    claim_name: DnsName | None = Field(
        default=None,
        description=f"An existing ReadWriteMany claim, with the label {LABEL_USE}: output, used by "
        "this run alone. Default: the claim <run>-output is created.",
    )
    size: Quantity | None = Field(
        default=None,
        description="Size of the claim, e.g. 500Gi. Default: checkpoints "
        f"({CHECKPOINT_BYTES} bytes a parameter, one more than are kept) and the exported model.",
    )
    storage_class_name: DnsName | None = Field(
        default=None, description="Storage class of the claim. Default: the cluster's."
    )
    retain: bool = Field(
        default=True, description="Keep the claim, with the model, when the run is deleted."
    )
    push: Push | None = Field(default=None, description="Publish the finished model on the hub.")


class Training(ApiModel):
    """The recipe. Without any of these a run of 7B or 13B is the published one."""

    global_batch_size: int | None = Field(
        default=None,
        ge=1,
        le=65536,
        description="Samples of an optimizer step. Default: 128 (Tiny: see its recipe).",
    )
    micro_batch_size: int | None = Field(
        default=None,
        ge=1,
        le=4096,
        description="Samples of a process in one forward pass. Default: the largest up to 16 that "
        "divides globalBatchSize evenly.",
    )
    epochs: int | None = Field(
        default=None, ge=1, le=1000, description="Passes over the data. Default: 1."
    )
    learning_rate: Number | None = Field(
        default=None, gt=0, le=1, description="Peak learning rate. Default: 2e-5."
    )
    warmup_ratio: Number | None = Field(
        default=None, ge=0, lt=1, description="Share of the steps that warm up. Default: 0.03."
    )
    weight_decay: Number | None = Field(
        default=None, ge=0, le=1, description="AdamW's decoupled weight decay. Default: 0."
    )
    gradient_clipping: Number | None = Field(
        default=None,
        ge=0,
        le=1000,
        description="Largest global gradient norm; 0 turns clipping off. Default: 0, as the "
        "published runs trained.",
    )
    max_length: int | None = Field(
        default=None,
        ge=128,
        le=4096,
        description="Longest sequence in tokens, image included. Default: 2048.",
    )
    zero_stage: ZeroStage | None = Field(
        default=None, description="DeepSpeed ZeRO stage. Default: 3."
    )
    attention: Attention | None = Field(
        default=None,
        description="Attention kernel. Default: flash_attention_2 (Tiny and packing prefix: sdpa).",
    )
    packing: Packing = Field(
        default="none",
        description="Where the samples of a step are computed. none: in micro-batches, as "
        "published. sequence: in rows of equal tokens, at most microBatchSize x maxLength; the "
        "same steps, loss and gradients. prefix: so too, and all questions about an image that "
        "a process has in a pass share one copy of it, a fifth of Q-Instruct's tokens; an image's "
        "questions are then in the same step. Needs attention sdpa.",
    )
    activation_checkpointing: bool | None = Field(
        default=None,
        description="Recompute activations in the backward pass. Default: true (Tiny: false).",
    )
    seed: int = Field(default=42, ge=0, le=2**31 - 1, description="Seed of everything random.")


class CheckpointPolicy(ApiModel):
    """When to save, and how much to keep."""

    every_minutes: Number | None = Field(
        default=None,
        gt=0,
        le=10080,
        description="Minutes of training between two checkpoints. Default: 30 (Tiny: 1).",
    )
    keep: int = Field(
        default=2,
        ge=1,
        le=100,
        description="Newest verified checkpoints that stay on disk. With 1, a damaged one ends the "
        "run: there is none before it to go on from.",
    )


class Spec(ApiModel):
    """What to train. Two fields are required; every other has the default a user would pick."""

    size: Size = Field(
        description=f"{' or '.join(_GPU_CLASSES)}: LLaVA-v1.5 on {GPUS_PER_DOCUMENTED_RUN} A100 "
        f"of {' or '.join(map(str, _GPU_CLASSES.values()))} GB. Tiny: a real end-to-end run of "
        "minutes on CPUs."
    )
    strategy: Strategy = Field(
        description="mix: Vicuna tuned on Q-Instruct and the LLaVA mixture together. after: "
        "LLaVA-v1.5 tuned further on Q-Instruct."
    )
    suspend: bool = Field(
        default=False,
        description="Stop at a checkpoint and free the GPUs; false lets the run go on from there. "
        "What is not created yet waits. Not beside a queueName: Kueue decides there.",
    )
    gpu: Gpu = Field(default_factory=Gpu, description="Which GPUs, and how many.")
    data: Data = Field(
        default_factory=Data, description="Where the data come from, how clean they must be."
    )
    model: Model = Field(default_factory=Model, description="Where the starting weights come from.")
    output: Output = Field(
        default_factory=Output, description="Where checkpoints and the model go."
    )
    training: Training = Field(
        default_factory=Training, description="The recipe; the defaults are the published values."
    )
    checkpoint: CheckpointPolicy = Field(
        default_factory=CheckpointPolicy, description="When to save, and how much to keep."
    )
    recovery: Recovery = Field(
        default_factory=Recovery, description="What to do when an attempt fails."
    )
    prep: Prep = Field(
        default_factory=Prep, description="How the cluster places and queues the prep pod."
    )
    scheduling: Scheduling = Field(
        default_factory=Scheduling,
        description="How the cluster places and queues the training pod.",
    )
    budget: Budget = Field(default_factory=Budget, description="What the run may cost.")
    tracking: Tracking = Field(
        default_factory=Tracking, description="Where metrics go besides status."
    )
    evaluation: Evaluation = Field(
        default_factory=Evaluation, description="What to measure on the finished model."
    )
    backend: Literal["PyTorchJob", "TrainJob", "JobSet", "Job"] = Field(
        default="PyTorchJob", description="Kind of the training workload."
    )
    patches: Annotated[tuple[PodPatch, ...], Field(strict=False)] = Field(
        default=(), max_length=8, description="Strategic-merge patches on the pod templates."
    )
