"""Files of hub repositories: `hf://datasets/OWNER/NAME[@REVISION]/PATH`, as HfFileSystem spells it.

`hf://OWNER/NAME[@REVISION]/PATH` is a file of a model's repository. A revision with a slash has it
as `%2F`, but for the hub's own `refs/pr/N` and `refs/convert/NAME`.
https://huggingface.co/docs/huggingface_hub/guides/hf_file_system
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote

SCHEME: Final = "hf://"
FORM: Final = "hf://datasets/OWNER/NAME[@REVISION]/PATH"

_NAME: Final = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}"
_URL: Final = re.compile(
    rf"hf://(?P<kind>datasets/)?(?P<repository>{_NAME}/{_NAME})"
    r"(?:@(?P<revision>refs/(?:convert|pr)/[A-Za-z0-9_.-]+|[A-Za-z0-9_.%-]+))?"
    r"/(?P<path>[^?#\s]+)"
)
_COMMIT: Final = re.compile("[0-9a-f]{40}")


@dataclass(frozen=True)
class HubFile:
    """One file of a repository.

    Attributes:
        repository: `owner/name`.
        path: In the repository, not percent-encoded.
        revision: Commit, tag or branch; None: the hub's main branch.
        of_data_set: Whether the repository is a data set's; else a model's.
    """

    repository: str
    path: str
    revision: str | None = None
    of_data_set: bool = True

    @property
    def address(self) -> str:
        """Its path below a hub's endpoint, with a slash at the beginning."""
        kind = "/datasets" if self.of_data_set else ""
        revision = quote(self.revision or "main", safe="")
        return f"{kind}/{self.repository}/resolve/{revision}/{quote(self.path)}"


def parse_hub_url(url: str) -> HubFile | None:
    """The file that an `hf://` URL names; None where it names none."""
    match = _URL.fullmatch(url)
    if match is None:
        return None
    path = unquote(match["path"])
    parts = path.split("/")
    is_plain = path.isprintable() and not any(part in ("", ".", "..") for part in parts)
    owner = match["repository"].partition("/")[0]
    if not is_plain or (match["kind"] is None and owner in ("datasets", "spaces", "buckets")):
        return None
    revision = unquote(match["revision"]) if match["revision"] else None
    return HubFile(match["repository"], path, revision, of_data_set=match["kind"] is not None)


def is_commit(revision: str | None) -> bool:
    """Whether it names one state for ever: a branch moves, a tag or a short hash may."""
    return revision is not None and _COMMIT.fullmatch(revision) is not None


def at_revision(url: str, revision: str) -> str:
    """The address of a hub's file that names no revision, at one; any other as it is."""
    match, file = _URL.fullmatch(url), parse_hub_url(url)
    if match is None or file is None or file.revision is not None:
        return url
    return f"{url[: match.end('repository')]}@{quote(revision, safe='')}/{match['path']}"
