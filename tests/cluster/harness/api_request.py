"""One request to the API server, and its answer, including refusals."""

import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any, Final

from cluster.harness.control_plane import ControlPlane
from qinstruct_operator.constants import API_VERSION, PLURAL

STRICT: Final = "fieldValidation=Strict"
"""What kubectl asks for: an unknown field is an error, not dropped silently."""
DRY_RUN: Final = "dryRun=All"
MERGE: Final = "application/merge-patch+json"
APPLY: Final = "application/apply-patch+yaml"


@dataclass(frozen=True)
class Answer:
    """The answer of the server: an HTTP status and an object, which may be a `Status`."""

    code: int
    content: dict[str, Any]

    @property
    def ok(self) -> bool:
        """Whether it did as asked."""
        return self.code < 300

    @property
    def causes(self) -> list[tuple[str, str]]:
        """Field and reason of every fault; without the note that the server did not look further.

        That note has no field, and is only there beside faults of the schema.
        """
        found = (self.content.get("details") or {}).get("causes") or []
        return [(one["field"], one["message"]) for one in found if one["field"] != "<nil>"]


def runs_path(namespace: str, name: str = "", subresource: str = "") -> str:
    """Where the runs of a namespace are, or one of them."""
    parts = ("/apis", API_VERSION, "namespaces", namespace, PLURAL, name, subresource)
    return "/".join(part for part in parts if part)


def send_request(
    api: ControlPlane,
    method: str,
    path: str,
    body: Any = None,
    *,
    content_type: str = "application/json",
    token: str | None = None,
) -> Answer:
    """Send a request; refusals are answers too.

    Args:
        token: whose request it is; None: the administrator's.
    """
    token = token or api.tokens["admin"]
    request = urllib.request.Request(
        api.url + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": content_type},
    )
    trusted = ssl.create_default_context(cafile=api.ca)
    try:
        with urllib.request.urlopen(request, timeout=30, context=trusted) as answer:
            return Answer(answer.status, json.load(answer))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, json.load(error))
