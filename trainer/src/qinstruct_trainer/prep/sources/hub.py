"""A model source to a local path: a folder, a `file://` URL, or a repository on the hub.

huggingface_hub asks with a client of ours, which keeps it to the addresses, the bytes and the time
that each download is kept to.
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Final, cast
from urllib.parse import unquote, urlsplit

import httpx
from huggingface_hub import (
    DryRunFileInfo,
    close_session,
    constants,
    set_client_factory,
    snapshot_download,
)
from huggingface_hub.errors import (
    DryRunError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from qinstruct_trainer.contract.errors import ConfigError, DataError, StorageError, UnavailableError
from qinstruct_trainer.environment import check_connection_settings, check_hub_settings
from qinstruct_trainer.prep.sources.addresses import ForbiddenAddressError
from qinstruct_trainer.prep.sources.connection import open_client
from qinstruct_trainer.prep.sources.limits import EndlessError, Limits, Watch
from qinstruct_trainer.prep.sources.locations import REFUSALS, TOKEN_WAY

MAX_BYTES: Final = 128 * 2**30
"""Most bytes of a repository's files that are needed: a 13B in float32 has 52e9."""
MAX_FILES: Final = 1000
"""Most of those files."""

_OVERHEAD: Final = 64 * 2**20  # of the list of files, of headers and of broken connections
_REPOSITORY = re.compile(r"^[\w.-]+/[\w.-]+$")
_TORCH_WEIGHTS = "pytorch_model*.bin*"
# Weights, configs and tokenizers; no optimizer states, no code, no other framework's weights.
_PATTERNS = (
    "config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "model*.safetensors*",
    "mm_projector.bin",
    _TORCH_WEIGHTS,
)


@dataclass(frozen=True)
class Place:
    """Where repositories of the hub come from, and where they go.

    Attributes:
        downloads: Where they are kept and resumed; None: huggingface_hub's own cache.
        networks: Which they may come from besides public addresses; None: from any.
        endpoint: Another hub than the public one.
        limits: What a repository may take of time; of bytes it is what the hub says, and
            `MAX_BYTES`.
    """

    downloads: Path | None = None
    networks: tuple[str, ...] | None = None
    endpoint: str | None = None
    limits: Limits = field(default_factory=Limits)


def resolve(source: str, revision: str | None, place: Place) -> Path:
    """The local path of a source; a repository is downloaded, or found in an earlier download.

    Args:
        source: An absolute folder or file, a `file://` URL, or `owner/name` on the hub.
        revision: Commit, tag or branch of a repository.
        place: Of a repository.

    Raises:
        ConfigError: the source is none of the three, or leads to an address that it may not; or
            the environment names a hub, a proxy or a token that cannot be.
        UnavailableError: it is not there, or the hub does not give it.
        DataError: the download is incomplete, or too large.
        StorageError: it cannot be written.
    """
    if source.startswith(("file://", "/", "./", "../")):
        return _local(source)
    if not _REPOSITORY.match(source):
        raise ConfigError(
            f"model source {source!r:.200} is neither a folder, a file:// URL, nor a repository "
            "owner/name on the hub"
        )
    check_hub_settings()
    check_connection_settings()
    try:
        with _bounded(place) as budget:
            return _download(source, revision, place, budget)
    except ForbiddenAddressError as error:
        raise ConfigError(
            f"{source} cannot be fetched from the hub: {error}; set model.base to a local folder, "
            "or have the network of your hub added to QINSTRUCT_PRIVATE_NETWORKS of the operator"
        ) from error
    except (
        *(DryRunError, EndlessError, HfHubHTTPError, HFValidationError, httpx.HTTPError),
        *(httpx.InvalidURL, UnicodeError),  # the second: of a host's name
    ) as error:
        raise UnavailableError(_explain(source, revision, error)) from error
    except OSError as error:
        if error.errno is None:
            raise UnavailableError(_explain(source, revision, error)) from error
        raise StorageError(
            f"{source} cannot be stored ({error.strerror}); the download needs room and a "
            f"writable {place.downloads or 'cache of huggingface_hub'}, run again to go on with it"
        ) from error


def _local(source: str) -> Path:
    path = Path(unquote(urlsplit(source).path) if source.startswith("file:") else source)
    try:
        _ = list(path.iterdir()) if path.is_dir() else path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise UnavailableError(
            f"{path!s:.300} is not there; model.base must name an existing folder"
        ) from error
    except OSError as error:
        raise UnavailableError(
            f"{path!s:.300} cannot be read ({error.strerror}; this is user "
            f"{os.geteuid()}:{os.getegid()}); model.base must name a folder that it may read"
        ) from error
    return path


class _Budget:
    """How many bytes may still come, headers and all that is sent twice included."""

    def __init__(self, watch: Watch):
        self._watch = watch
        self.left = _OVERHEAD

    def spend(self, num_bytes: int) -> None:
        """Note bytes that came.

        Raises:
            EndlessError: they are more than there may be.
        """
        self._watch.add(num_bytes)
        self.left -= num_bytes
        if self.left < 0:
            raise EndlessError("the hub sends more than it says that there is")


@contextmanager
def _bounded(place: Place) -> Iterator[_Budget]:
    """Bounds of all that huggingface_hub asks for."""
    # Its other way to files, which knows no client of ours.
    constants.HF_HUB_DISABLE_XET = True
    watch = Watch(place.limits)
    budget = _Budget(watch)
    set_client_factory(
        lambda: open_client(
            watch,
            place.networks,
            budget.spend,
            follow_redirects=True,
            event_hooks={"request": [_ask_plainly], "response": [_take_plainly]},
        )
    )
    try:
        yield budget
    finally:
        close_session()


def _ask_plainly(request: httpx.Request) -> None:
    request.headers["Accept-Encoding"] = "identity"


def _take_plainly(response: httpx.Response) -> None:
    """Nothing that unpacks to any size, and no wait of a length that the hub chooses."""
    if response.headers.get("content-encoding", "identity") != "identity":
        raise EndlessError("it comes packed, although it was not asked for so")
    for name in ("retry-after", "ratelimit", "ratelimit-policy"):
        response.headers.pop(name, None)


def _download(repository: str, revision: str | None, place: Place, budget: _Budget) -> Path:
    """List the files, fetch those needed, and check their sizes: a hub may send less."""

    def snapshot(patterns: Sequence[str], *, dry_run: bool) -> str | list[DryRunFileInfo]:
        return snapshot_download(
            repository,
            revision=revision,
            cache_dir=place.downloads,
            endpoint=place.endpoint,
            allow_patterns=list(patterns),
            dry_run=dry_run,
        )

    offered = cast(list[DryRunFileInfo], snapshot(_PATTERNS, dry_run=True))
    wanted = [info for info in offered if "/" not in info.filename]
    if any(fnmatch(info.filename, "model*.safetensors") for info in wanted):
        wanted = [info for info in wanted if not fnmatch(info.filename, _TORCH_WEIGHTS)]
    num_bytes = sum(info.file_size or 0 for info in wanted)
    if num_bytes > MAX_BYTES or len(wanted) > MAX_FILES:
        raise DataError(
            f"{repository} has {len(wanted):,} files of {num_bytes:,} bytes, and a model has at "
            f"most {MAX_FILES:,} of {MAX_BYTES:,}; correct model.base"
        )
    budget.left = 2 * num_bytes + _OVERHEAD
    folder = Path(cast(str, snapshot([info.filename for info in wanted], dry_run=False)))
    for info in wanted:
        path = folder / info.filename
        found = path.stat().st_size if path.exists() else 0
        if found != info.file_size:
            raise DataError(
                f"{repository} came incomplete: {info.filename} has {found} bytes instead of "
                f"{info.file_size}; run again to fetch the rest"
            )
    return folder


def _explain(repository: str, revision: str | None, error: BaseException) -> str:
    """A sentence for what the hub (or the way to it) answered."""
    if isinstance(error, DryRunError):  # wraps the reason
        error = error.__cause__ or error
    if isinstance(error, GatedRepoError):
        return f"{repository} is gated: accept its licence on the hub, then {TOKEN_WAY}"
    if isinstance(error, RevisionNotFoundError):
        return f"{repository} has no revision {revision}; correct model.revision"
    if isinstance(error, RepositoryNotFoundError):
        return f"{repository} is not on the hub, or private; correct model.base, or {TOKEN_WAY}"
    if isinstance(error, OfflineModeIsEnabled):
        return (
            f"{repository} cannot be fetched, HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE in the "
            "environment forbids it; unset it, or set model.base to a local folder"
        )
    if isinstance(error, httpx.TransportError):
        return (
            f"{repository} cannot be fetched, the hub cannot be reached; "
            "set model.base to a local folder, or run again with a network"
        )
    way_out = TOKEN_WAY if _is_refused(error) else "run again later"
    return f"{repository} cannot be fetched from the hub ({_reason(error)}); {way_out}"


def _is_refused(error: BaseException) -> bool:
    """Whether the hub refuses the token, or that there is none."""
    response = error.response if isinstance(error, HfHubHTTPError) else None
    return response is not None and response.status_code in REFUSALS


def _reason(error: BaseException) -> str:
    """What is wrong, in our words: those of the hub could be any text."""
    if isinstance(error, EndlessError):
        return str(error)
    if isinstance(error, HfHubHTTPError) and error.response is not None:
        status = error.response.status_code
        return f"it answers {status} {httpx.codes.get_reason_phrase(status)}".strip()
    return type(error).__name__
