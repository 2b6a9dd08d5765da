"""A model source to a local path: a folder, a `file://` URL, or a repository on the hub."""

import re
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import cast
from urllib.parse import unquote, urlsplit

import httpx
from huggingface_hub import DryRunFileInfo, snapshot_download
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


def resolve(
    source: str, *, revision: str | None, downloads: Path | None, endpoint: str | None = None
) -> Path:
    """The local path of a source; a repository is downloaded, or found in an earlier download.

    Args:
        source: An absolute folder or file, a `file://` URL, or `owner/name` on the hub.
        revision: Commit, tag or branch of a repository.
        downloads: Where downloads are kept and resumed; None: huggingface_hub's own cache.
        endpoint: Another hub than the public one.

    Raises:
        ConfigError: the source is none of the three.
        UnavailableError: it is not there, or the hub does not give it.
        DataError: the download is incomplete.
        StorageError: it cannot be written.
    """
    if source.startswith(("file://", "/", "./", "../")):
        path = Path(unquote(urlsplit(source).path) if source.startswith("file:") else source)
        if not path.exists():
            raise UnavailableError(f"{path} is not there; model.base must name an existing folder")
        return path
    if not _REPOSITORY.match(source):
        raise ConfigError(
            f"model source {source!r} is neither a folder, a file:// URL, nor a repository "
            "owner/name on the hub"
        )
    try:
        return _download(source, revision, downloads, endpoint)
    except (DryRunError, HfHubHTTPError, HFValidationError, httpx.HTTPError) as error:
        raise UnavailableError(_explain(source, revision, error)) from error
    except OSError as error:
        if error.errno is None:
            raise UnavailableError(_explain(source, revision, error)) from error
        raise StorageError(
            f"{source} cannot be stored ({error.strerror}); the download needs room and a "
            f"writable {downloads or 'cache of huggingface_hub'}, run again to go on with it"
        ) from error


def _download(
    repository: str, revision: str | None, downloads: Path | None, endpoint: str | None
) -> Path:
    """List the files, fetch those needed, and check their sizes: a hub may send less."""

    def snapshot(patterns: Sequence[str], *, dry_run: bool) -> str | list[DryRunFileInfo]:
        return snapshot_download(
            repository,
            revision=revision,
            cache_dir=downloads,
            endpoint=endpoint,
            allow_patterns=list(patterns),
            dry_run=dry_run,
        )

    offered = cast(list[DryRunFileInfo], snapshot(_PATTERNS, dry_run=True))
    wanted = [info for info in offered if "/" not in info.filename]
    if any(fnmatch(info.filename, "model*.safetensors") for info in wanted):
        wanted = [info for info in wanted if not fnmatch(info.filename, _TORCH_WEIGHTS)]
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
        return (
            f"{repository} is gated: accept its licence on the hub and set data.tokenSecretRef "
            "(locally HF_TOKEN) to a token of that account"
        )
    if isinstance(error, RevisionNotFoundError):
        return f"{repository} has no revision {revision}; correct model.revision"
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"{repository} is not on the hub, or private; correct model.base, or set "
            "data.tokenSecretRef (locally HF_TOKEN) to a token that may read it"
        )
    if isinstance(error, OfflineModeIsEnabled | httpx.TransportError):
        return (
            f"{repository} cannot be fetched, the hub cannot be reached; "
            "set model.base to a local folder, or run again with a network"
        )
    first_line = str(error).strip().partition("\n")[0]
    return f"{repository} cannot be fetched from the hub ({first_line}); run again later"
