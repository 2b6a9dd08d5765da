"""The versions of the code that makes units: numbers, which stand in the units' keys.

Beside each is the digest of that code when the number was last looked at. Both are written by
`scripts/code_versions.py`, which says how; a test fails where the code has changed since.
"""

from typing import Final, Literal, NamedTuple

Maker = Literal[
    "fetch", "builtin", "listed", "extract", "gate", "pixels", "merge", "model", "index"
]
"""What makes units: of the stage `fetch` the download of a file, the data set that is drawn, the
download of a list's images; else the stage."""


class CodeVersion(NamedTuple):
    """A number that is raised when the code makes other bytes, and the digest of that code."""

    number: int
    digest: str


CODE_VERSIONS: Final[dict[Maker, CodeVersion]] = {
    "fetch": CodeVersion(1, ""),  # a source's bytes, whatever fetches them: never raised
    "builtin": CodeVersion(1, "48c21a0cc9dc8b47"),
    "listed": CodeVersion(1, "3bdf6a31f9fc7c08"),
    "extract": CodeVersion(2, "1aa751801d81983e"),
    "gate": CodeVersion(4, "0974b166b92cc6f8"),
    "pixels": CodeVersion(1, "92ea2b28b69d5cc6"),
    "merge": CodeVersion(1, "f82d750f34aa0379"),
    "model": CodeVersion(3, "592cff38a94ee14b"),
    "index": CodeVersion(1, "4098a5851c95fc8f"),
}
