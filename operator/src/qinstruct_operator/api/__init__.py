"""The API `qinstruct.dev/v1alpha1`: pydantic models, `parse`, and the CRD made from them.

`v1alpha1` is the resource; `spec`, `spec_operations` and `status` describe its fields, of shared
`field_types`. `parse` reads a user's document, `read_status` a stored status. `openapi_schema`
turns the models into a structural schema, `cel_rules` adds the CEL rules, and `crd` writes the
document under crds/. May import pydantic, `catalog`, `constants`, `errors` and the trainer's
contract; not `core`, `cluster`, `cli`, kopf or kubernetes.
"""

from qinstruct_operator.api.parse import parse
from qinstruct_operator.api.v1alpha1 import QInstructTraining

__all__ = ["QInstructTraining", "parse"]
