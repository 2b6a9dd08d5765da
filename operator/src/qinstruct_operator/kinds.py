"""The kinds of object that the operator and the command line touch, and how a URL names them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from qinstruct_operator.constants import API_VERSION, KIND


@dataclass(frozen=True)
class Kind:
    """One kind of object.

    Attributes:
        api_version: as an object says it, `v1` or `group/version`.
        namespaced: whether its objects live in a namespace.
    """

    api_version: str
    kind: str
    namespaced: bool = True

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> Self:
        """The kind that an object says it is; one without a namespace is the cluster's own."""
        namespaced = "namespace" in manifest["metadata"]
        return cls(manifest["apiVersion"], manifest["kind"], namespaced)

    @property
    def group(self) -> str:
        """The API group; empty for the core."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        """The version alone."""
        return self.api_version.rpartition("/")[2]

    @property
    def plural(self) -> str:
        """The name in URLs and RBAC rules, by the rule of apimachinery's UnsafeGuessKindToResource.

        It holds for every kind that we touch; the API server's own list of resources would be
        one more request for each start.
        """
        lower = self.kind.lower()
        if lower.endswith("y"):
            return f"{lower[:-1]}ies"
        return f"{lower}es" if lower.endswith("s") else f"{lower}s"


TRAINING: Final = Kind(API_VERSION, KIND)
CONFIG_MAP: Final = Kind("v1", "ConfigMap")
CLAIM: Final = Kind("v1", "PersistentVolumeClaim")
JOB: Final = Kind("batch/v1", "Job")
POD: Final = Kind("v1", "Pod")
EVENT: Final = Kind("v1", "Event")
NODE: Final = Kind("v1", "Node", namespaced=False)
