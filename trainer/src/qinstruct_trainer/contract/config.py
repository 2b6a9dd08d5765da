"""The configs of prep and training: `PrepConfig`, `RunConfig`, and `Prepared` between them.

The operator writes both configs as JSON into one ConfigMap (local mode: into the run's
folder); `python -m qinstruct_trainer prep|train --config FILE` reads them. Nothing is left
open in them: every default was resolved by the operator's plan. Frozen, and strict: an unknown
key is an error, so that an old trainer never ignores a new setting.

Each field of the two configs is marked as `Fixed` or `Changeable`. That is the only rule of what
makes two starts the same run; checkpoints and local mode both take it from here.
"""

from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qinstruct_trainer.contract.errors import ConfigError, StorageError
from qinstruct_trainer.contract.hub_files import is_commit, parse_hub_url

ConfigVersion = Literal[1]
CONFIG_VERSION: ConfigVersion = 1

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Size = Literal["7B", "13B", "Tiny"]
Strategy = Literal["mix", "after"]
MissingImages = Literal["Fail", "Drop"]
PixelStorePolicy = Literal["Auto", "Never"]
ZeroStage = Literal[1, 2, 3]
Precision = Literal["bf16", "fp32"]
Attention = Literal["flash_attention_2", "sdpa", "eager"]
Packing = Literal["none", "sequence", "prefix"]

TRUSTED_DAYS: Final = 7
"""How long the cached file of a source that nothing pins is taken without asking its server: a
download of days is over by then, and asking costs one request a source."""

T = TypeVar("T")


class _Mark(Enum):
    """Whether a field may differ between two starts of one run."""

    FIXED = "fixed"
    CHANGEABLE = "changeable"


Fixed = Annotated[T, _Mark.FIXED]
"""Decides the weights that come out: a run that has begun keeps it."""

Changeable = Annotated[T, _Mark.CHANGEABLE]
"""Places, names, and when to save or pause: the weights are the same with another value."""


class _Config(BaseModel):
    """A frozen JSON document; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read and validate a document.

        Raises:
            StorageError: the file cannot be read.
            ConfigError: it is not JSON, or not this document; names the first bad field.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise StorageError(f"{path} cannot be read: {error.strerror}") from error
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "the document"
            raise ConfigError(
                f"{path} is not a {cls.__name__}: {field}: {first['msg']}; "
                "it is written by qinstruct and must match this version of the trainer"
            ) from error

    def to_json(self) -> str:
        """The document, indented, with a final newline: the same bytes for equal configs."""
        return self.model_dump_json(indent=2) + "\n"


class Source(_Config):
    """One thing to fetch, or the builtin data set."""

    name: str = Field(description="Key in the table of sources, e.g. q-instruct-images.")
    kind: Literal["labels", "images", "builtin"] = Field(
        description="labels: a JSON array of records. images: a tar or zip of image files."
    )
    url: str = Field(description="http(s)://, hf://, s3://, gs://, az://, file:// or builtin:.")
    mirrors: tuple[str, ...] = Field(
        default=(), description="Addresses of the same file, tried in order where url fails."
    )
    into: str = Field(default="", description="Folder below the image root that the archive fills.")
    sha256: Sha256 | None = Field(default=None, description="Digest of the file, if known.")
    revision: str | None = Field(
        default=None, description="Commit, tag or branch of a hub repository."
    )
    num_bytes: int | None = Field(default=None, description="Published size in bytes.")
    num_records: int | None = Field(
        default=None, description="Published number of records; the gate compares."
    )

    @property
    def is_pinned(self) -> bool:
        """Whether a digest or a full commit says which file it is; built-in data have no other."""
        file = parse_hub_url(self.url)
        revision = self.revision or (file.revision if file else None)
        return self.kind == "builtin" or self.sha256 is not None or is_commit(revision)

    @property
    def is_asked_again(self) -> bool:
        """Whether its server is asked after `TRUSTED_DAYS` whether the file is another one."""
        is_local = all(url.startswith("file:") for url in (self.url, *self.mirrors))
        return not self.is_pinned and not is_local


class ModelSource(_Config):
    """Where the starting weights come from.

    `llava`: a LLaVA-v1.5 checkpoint (original or Hugging Face layout), strategy after.
    `vicuna`: Vicuna and the stage-1 projector, strategy mix. `tiny`: built here, seeded.
    Each of base, projector and vision_tower is a hub repository id, a `file://` URL or a
    folder; `tiny` needs none of them.
    """

    kind: Literal["tiny", "llava", "vicuna"]
    base: str = ""
    revision: str | None = None
    projector: str | None = None
    vision_tower: str | None = None


class _RunDocument(_Config):
    """A config whose fields are all marked; a class with an unmarked one cannot be made."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        for name, field in cls.model_fields.items():
            marks = [mark for mark in field.metadata if isinstance(mark, _Mark)]
            if len(marks) != 1:
                raise TypeError(f"{cls.__name__}.{name} must be either Fixed or Changeable")

    def fixed_values(self) -> dict[str, Any]:
        """The values that a run which has begun keeps, by field name."""
        fields = type(self).model_fields
        return self.model_dump(include={n for n in fields if _Mark.FIXED in fields[n].metadata})


class PrepConfig(_RunDocument):
    """Everything that `prep` needs; its result is `<output>/prepared.json`."""

    version: Changeable[ConfigVersion] = CONFIG_VERSION
    run: Changeable[str] = Field(
        description="Name of the run; shown to others that wait for its units."
    )
    cache: Changeable[Path] = Field(description="Root of the shared unit cache.")
    output: Changeable[Path] = Field(description="The run's own folder.")
    sources: Fixed[tuple[Source, ...]] = Field(
        min_length=1, description="In the order of the merge."
    )
    model: Fixed[ModelSource]
    missing_images: Fixed[MissingImages] = "Fail"
    max_missing: Fixed[int] = Field(default=0, ge=0, description="Records that Drop may leave out.")
    max_length: Fixed[int] = Field(ge=1, description="Longest sequence in tokens, image included.")
    seed: Fixed[int]
    max_bytes: Changeable[dict[str, int]] = Field(
        default_factory=dict, description="Most bytes of a download, by the name of its source."
    )
    private_networks: Changeable[tuple[str, ...] | None] = Field(
        default=None,
        description="Networks that a download may come from besides public addresses; none: any.",
    )
    keep_archives: Changeable[bool] = Field(
        default=False, description="Keep archives of images when they are extracted."
    )
    pixel_store: Changeable[PixelStorePolicy] = Field(
        default="Auto", description="Whether decoded images are stored where all of them fit."
    )
    cache_bytes: Changeable[int] = Field(
        default=0, ge=0, description="Room that the run needs in an empty cache."
    )
    output_bytes: Changeable[int] = Field(
        default=0, ge=0, description="Room that all of the run's own folder needs."
    )


class Checkpointing(_Config):
    """When to save, and how much to keep."""

    every_minutes: float = Field(gt=0)
    keep: int = Field(ge=1, description="Newest verified checkpoints that stay on disk.")


class RunConfig(_RunDocument):
    """Everything that `train` needs. The defaults of the four published runs are in the plan."""

    version: Changeable[ConfigVersion] = CONFIG_VERSION
    run: Changeable[str]
    size: Fixed[Size]
    strategy: Fixed[Strategy]
    prepared: Changeable[Path] = Field(description="prepared.json, written by prep.")
    output: Changeable[Path] = Field(
        description="The run's own folder: checkpoints/, model/, metrics.jsonl."
    )
    world_size: Fixed[int] = Field(
        ge=1, description="Processes; torchrun must start exactly these."
    )
    global_batch_size: Fixed[int] = Field(ge=1, description="Samples per optimizer step.")
    micro_batch_size: Fixed[int] = Field(ge=1, description="Samples per process and forward pass.")
    epochs: Fixed[int] = Field(ge=1)
    learning_rate: Fixed[float] = Field(gt=0)
    warmup_ratio: Fixed[float] = Field(ge=0, lt=1, description="Share of all steps, rounded up.")
    weight_decay: Fixed[float] = Field(ge=0)
    gradient_clipping: Fixed[float] = Field(
        ge=0, description="Largest global norm; 0 turns it off."
    )
    group_by_modality: Fixed[bool] = Field(
        description="The published mix order; off: random order."
    )
    zero_stage: Fixed[ZeroStage]
    precision: Fixed[Precision]
    attention: Fixed[Attention]
    packing: Fixed[Packing] = Field(
        default="none",
        description="none: micro-batches as published. sequence: rows of equal work for all ranks. "
        "prefix: and records of one image share it.",
    )
    activation_checkpointing: Changeable[bool]
    seed: Fixed[int]
    checkpoint: Changeable[Checkpointing]
    in_place_retries: Changeable[int] = Field(
        default=0, ge=0, description="How often the ranks may be started again where they failed."
    )
    stop_after_step: Changeable[int | None] = Field(
        default=None, ge=1, description="Checkpoint and exit 75 after this step, as SIGTERM does."
    )


class Prepared(_Config):
    """What prep hands to training: finished units, never anything half made."""

    version: ConfigVersion = CONFIG_VERSION
    index: Path = Field(description="Folder of the token index (qinstruct_trainer.data.index).")
    model: Path = Field(description="Starting checkpoint, Hugging Face layout.")
    pixels: Path | None = Field(
        default=None,
        description="Decoded images (qinstruct_trainer.data.pixel_store); none: training decodes.",
    )
    gate_report: Path = Field(description="What the gate found, JSON.")
    heldout: Path | None = Field(default=None, description="Held-out questions (builtin only).")
    num_records: int
    num_dropped: int = 0
    versions: dict[str, str] | None = Field(
        default=None,
        description="Which version it has of each file that nothing pins, by the unit of the first "
        "one; none: the first of all. A later preparation of the run keeps them.",
    )
