"""The base of every API model: camelCase outside, frozen and strict inside."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from qinstruct_operator.constants import DNS_LABEL, DNS_NAME, MAX_DNS_LABEL


class ApiModel(BaseModel):
    """A frozen piece of the API; unknown keys and wrong JSON types are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, alias_generator=to_camel, serialize_by_alias=True
    )


Number = Annotated[float, Field(allow_inf_nan=False)]
"""A JSON number."""

MAX_RUN_NAME_LENGTH = 48
"""`<run>-<attempt>` must stay within 54 characters (core.names), attempts up to 99999."""

RUN_NAME_PATTERN = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"

NamespaceName = Annotated[str, Field(max_length=MAX_DNS_LABEL, pattern=f"^{DNS_LABEL}$")]
"""Name of a namespace (DNS-1123 label)."""

DnsName = Annotated[str, Field(min_length=1, max_length=253, pattern=f"^{DNS_NAME}$")]
"""Name of an object of the cluster (DNS-1123 subdomain)."""

QueueName = Annotated[str, Field(min_length=1, max_length=MAX_DNS_LABEL, pattern=f"^{DNS_NAME}$")]
"""Name of a Kueue queue: a workload names it in a label, whose values are shorter than names."""

LabelValue = Annotated[
    str, Field(max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")
]
"""Value of a Kubernetes label."""

LabelKey = Annotated[
    str,
    Field(
        min_length=1,
        max_length=317,
        pattern=rf"^({DNS_NAME}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?$",
    ),
]
"""Key of a Kubernetes label: a prefix of at most 253 characters, `/`, a name of at most 63."""

Quantity = Annotated[
    str, Field(min_length=2, max_length=32, pattern=r"^[1-9][0-9]*(Mi|Gi|Ti|M|G|T)$")
]
"""An amount of storage or memory, e.g. `500Gi`."""

CpuQuantity = Annotated[str, Field(min_length=1, max_length=8, pattern=r"^[1-9][0-9]*m?$")]
"""A number of CPUs, e.g. `8` or `500m`."""


class SecretKeyRef(ApiModel):
    """One key of a Secret in the run's namespace."""

    name: DnsName = Field(description="Name of the Secret, in the namespace of the run.")
    key: str = Field(
        default="token",
        min_length=1,
        max_length=253,
        pattern=r"^[-._a-zA-Z0-9]+$",
        description="Key inside the Secret.",
    )
