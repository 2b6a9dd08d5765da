"""Fetch a source's file from the first of its addresses that gives it."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from qinstruct_trainer.contract.config import Source
from qinstruct_trainer.contract.errors import ConfigError, DataError, RunError, UnavailableError
from qinstruct_trainer.contract.field_paths import source_field
from qinstruct_trainer.contract.urls import shown_url
from qinstruct_trainer.prep.progress import Progress
from qinstruct_trainer.prep.sources.http import fetch
from qinstruct_trainer.prep.sources.limits import Limits
from qinstruct_trainer.prep.sources.retry import Retry

_MAX_REASON: Final = 400  # characters of one address's
_log = logging.getLogger(__name__)


def fetch_from_first(
    source: Source,
    partial: Path,
    progress: Progress,
    retry: Retry | None = None,
    limits: Limits | None = None,
) -> Path:
    """Bring the file from the source's url, else from its mirrors, in their order.

    The next one is tried where one does not answer, with something else than the file, or with a
    file of another digest. A part that one mirror sent is kept until another one sends its own.
    Which mirror served is logged.

    Args:
        source: What to fetch.
        partial: As of `fetch`.
        progress: Of the bytes of the address that is tried.
        retry: Waiting between the attempts at one address.
        limits: Of each address.

    Returns:
        The whole file, as `fetch` does.

    Raises:
        RunError: what `fetch` raises, where there is one address; StorageError at any.
        UnavailableError: none of several gives it, and one may another time.
        DataError: none of several gives it, and none will; ConfigError likewise.
    """
    failures: list[RunError] = []
    for url in (source.url, *source.mirrors):
        try:
            path = fetch(source.model_copy(update={"url": url}), partial, progress, retry, limits)
        except (ConfigError, DataError, UnavailableError) as error:
            if not source.mirrors:
                raise
            failures.append(error)
            if len(failures) <= len(source.mirrors):
                _log.warning("%s; its next address is tried", what_failed(error))
            continue
        if failures:
            _log.warning("%s comes from its mirror %s", source.name, shown_url(url))
        return path
    raise _none_gives_it(source, failures) from failures[-1]


def _none_gives_it(source: Source, failures: Sequence[RunError]) -> RunError:
    reasons = ", ".join(
        f"({number}) {what_failed(error).removeprefix(source.name).lstrip(': ')}"
        for number, error in enumerate(failures, 1)
    )
    kinds = [type(error) for error in failures]
    kind = UnavailableError if UnavailableError in kinds else kinds[0]
    return kind(
        f"{source.name} comes from none of its {len(failures)} addresses: {reasons}; correct "
        f"{source_field(source.name)} (url and mirrors), or run again later"
    )


def what_failed(error: RunError) -> str:
    """What happened, without the way out of one address: all of ours have it after a semicolon."""
    what = str(error).partition("; ")[0]
    return what if len(what) <= _MAX_REASON else f"{what[:_MAX_REASON]}..."
