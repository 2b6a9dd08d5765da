"""The custom resource: the metadata that we read, spec and status."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from qinstruct_operator.api.field_types import (
    MAX_RUN_NAME_LENGTH,
    RUN_NAME_PATTERN,
    ApiModel,
    NamespaceName,
)
from qinstruct_operator.api.spec import Spec
from qinstruct_operator.api.status import Status
from qinstruct_operator.constants import API_VERSION, KIND


class Metadata(BaseModel):
    """What we read of ObjectMeta; the API server owns the rest, so unknown keys pass."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, alias_generator=to_camel)

    name: str = Field(
        min_length=1,
        max_length=MAX_RUN_NAME_LENGTH,
        pattern=RUN_NAME_PATTERN,
        description="Name of the run; its children's names start with it.",
    )
    namespace: NamespaceName | None = Field(
        default=None, description="Namespace of the run and its children."
    )
    uid: str | None = Field(default=None, description="Set by the API server.")
    generation: int | None = Field(default=None, description="Set by the API server.")
    labels: dict[str, str] = Field(default_factory=dict, description="Labels of the run.")
    annotations: dict[str, Any] = Field(default_factory=dict, description="Annotations.")


class QInstructTraining(ApiModel):
    """One training of LLaVA-v1.5 on Q-Instruct."""

    api_version: Literal["qinstruct.dev/v1alpha1"] = Field(
        default=API_VERSION, description="Version of this schema."
    )
    kind: Literal["QInstructTraining"] = Field(default=KIND, description="Kind of the object.")
    metadata: Metadata = Field(description="Standard object metadata.")
    spec: Spec = Field(description="What to train.")
    status: Status | None = Field(default=None, description="What was observed of the run.")
