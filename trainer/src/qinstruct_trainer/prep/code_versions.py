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
    "builtin": CodeVersion(1, "ae47732ad091f035"),
    "listed": CodeVersion(1, "4aec660c9ca5141d"),
    "extract": CodeVersion(2, "a0c7f1120939fb99"),
    "gate": CodeVersion(4, "40aaaa4b688b291d"),
    "pixels": CodeVersion(1, "daa42f8c2c280797"),
    "merge": CodeVersion(1, "6df6c4ab246a7f29"),
    "model": CodeVersion(3, "0e3be73a83e89e76"),
    "index": CodeVersion(1, "f2da6a4668adcf4c"),
}
