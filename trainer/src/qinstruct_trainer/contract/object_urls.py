"""Objects of stores: `s3://BUCKET/KEY`, `gs://BUCKET/KEY`, `az://CONTAINER/PATH`."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote

OBJECT_SCHEMES: Final = ("s3", "gs", "az")
OBJECT_FORM: Final = "s3://BUCKET/KEY, gs://BUCKET/KEY or az://CONTAINER/PATH"
CREDENTIALS: Final = {
    "s3": (
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
        *("AWS_REGION", "AWS_ENDPOINT_URL"),
    ),
    "gs": ("GS_ACCESS_KEY_ID", "GS_SECRET_ACCESS_KEY"),
    "az": ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_SAS_TOKEN"),
}
"""Variables of the environment that a store is asked with; in a Secret, keys of the same names."""
_URL: Final = re.compile(
    r"(?P<scheme>s3|gs|az)://(?P<bucket>[a-z0-9][a-z0-9._-]{1,61}[a-z0-9])/(?P<key>[^?#\s]+)"
)


@dataclass(frozen=True)
class StoredObject:
    """One object.

    Attributes:
        scheme: Of its store.
        bucket: The bucket, or Azure's container.
        key: Its name, not percent-encoded.
    """

    scheme: str
    bucket: str
    key: str

    @property
    def path(self) -> str:
        """Its key as the path of an address."""
        return quote(self.key)


def parse_object_url(url: str) -> StoredObject | None:
    """The object that an address names; None where it names none.

    A key with an empty part, `.` or `..` is none: clients and servers disagree on those.
    """
    match = _URL.fullmatch(url)
    if match is None:
        return None
    key = unquote(match["key"])
    if not key.isprintable() or any(part in ("", ".", "..") for part in key.split("/")):
        return None
    return StoredObject(match["scheme"], match["bucket"], key)
