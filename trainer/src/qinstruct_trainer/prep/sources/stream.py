"""Fetch a file as one stream, which goes on where it broke off."""

import httpx

from qinstruct_trainer.durable_files import append_to
from qinstruct_trainer.prep.sources.answers import (
    continues_at,
    divisible_bytes,
    length_of,
    stamp_of,
    validator_of,
)
from qinstruct_trainer.prep.sources.download import Download, RangeRefusedError
from qinstruct_trainer.prep.sources.partial_file import Notes
from qinstruct_trainer.prep.sources.retry import AttemptError


def fetch_stream(download: Download, divide_from: int | None = None) -> bool:
    """Attempt after attempt until the file is whole.

    Args:
        download: What to fetch.
        divide_from: A file of so many bytes, or more, is left to its segments if its server gives
            those; None: none is.

    Returns:
        Whether it is whole; otherwise it is divided.

    Raises:
        UnavailableError, DataError, StorageError: it cannot become whole.
    """
    return download.patiently(lambda: _attempt(download, divide_from), have=download.partial.size)


def _attempt(download: Download, divide_from: int | None) -> bool:
    try:
        return _request(download, divide_from)
    except RangeRefusedError:
        download.partial.forget()
        raise


def _request(download: Download, divide_from: int | None) -> bool:
    """One request. Whether the file is whole then."""
    known = download.partial.read_notes(download.source.url)
    have = download.partial.size() if known.validator else 0
    if have and have == known.total:  # whole already; stopped before the unit was published
        download.check_size(have)
        download.progress.set(have)
        return True
    headers = {}
    if have and known.validator:
        headers = {"Range": f"bytes={have}-", "If-Range": known.validator}
    with download.ask(headers) as response:
        continues = continues_at(response, have, known.total)
        if continues and validator_of(response) not in (None, known.validator):
            download.partial.forget()  # a server that does not know If-Range
            raise AttemptError("the file has changed meanwhile")
        have = have if continues else 0
        notes = Notes(
            identity=known.identity, validator=validator_of(response), stamp=stamp_of(response)
        )
        total = divisible_bytes(response)
        if have == 0 and total is not None and divide_from is not None and total >= divide_from:
            download.check_size(total)
            download.check_space(total)
            download.partial.divide(notes, total)
            return False
        _receive(download, response, notes, have)
    return True


def _receive(download: Download, response: httpx.Response, notes: Notes, have: int) -> None:
    partial, progress = download.partial, download.progress
    length = length_of(response)
    total = None if length is None else have + length
    download.check_size(total or have)
    download.check_space((total or have) - have)
    if have == 0:
        partial.forget()
    partial.write_notes(notes.model_copy(update={"total": total}))
    progress.total = total
    progress.set(have)
    with append_to(partial.path) as file:
        for chunk in response.iter_raw():  # as they come: a broken connection loses none
            download.check_size(file.tell() + len(chunk))
            file.write(chunk)
            file.flush()  # what is counted survives a kill
            download.watch.add(len(chunk))
            progress.set(file.tell())
    if total is not None and partial.size() != total:
        raise AttemptError(f"{partial.size()} of {total} bytes came")
