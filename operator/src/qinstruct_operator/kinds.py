"""The kinds that the operator and the command line touch, with what a URL needs of them."""

from dataclasses import dataclass
from typing import Final

from qinstruct_operator.constants import API_VERSION, KIND, PLURAL


@dataclass(frozen=True)
class Kind:
    """One kind of object.

    Attributes:
        api_version: as an object says it, `v1` or `group/version`.
        plural: as URLs and RBAC rules say it.
        namespaced: whether its objects live in a namespace.
    """

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """The API group; empty for the core."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        """The version alone."""
        return self.api_version.rpartition("/")[2]


TRAINING: Final = Kind(API_VERSION, KIND, PLURAL)
CONFIG_MAP: Final = Kind("v1", "ConfigMap", "configmaps")
CLAIM: Final = Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
JOB: Final = Kind("batch/v1", "Job", "jobs")
PYTORCHJOB: Final = Kind("kubeflow.org/v1", "PyTorchJob", "pytorchjobs")
POD: Final = Kind("v1", "Pod", "pods")
EVENT: Final = Kind("v1", "Event", "events")
NODE: Final = Kind("v1", "Node", "nodes", namespaced=False)

KINDS: Final = {
    (kind.api_version, kind.kind): kind
    for kind in (TRAINING, CONFIG_MAP, CLAIM, JOB, PYTORCHJOB, POD, EVENT, NODE)
}
"""Every kind by what an object says of itself."""
