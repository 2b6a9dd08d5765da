"""The API `qinstruct.dev/v1alpha1`: pydantic models, `parse`, and the CRD made from them.

The models are the one source: `schema` turns them into a structural schema, `rules` adds what
only CEL can say, `crd` writes the document under crds/. May import pydantic, `catalog`,
`constants`, `errors` and the trainer's contract; never core, cli, kopf or kubernetes.
"""

from qinstruct_operator.api.parse import parse
from qinstruct_operator.api.v1alpha1 import QInstructTraining

__all__ = ["QInstructTraining", "parse"]
