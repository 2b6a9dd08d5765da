"""Fetch a file as one stream, which goes on where it broke off."""

import httpx

from qinstruct_trainer.contract.urls import url_identity
from qinstruct_trainer.durable_files import append_to
from qinstruct_trainer.prep.sources.answers import continues_at, length_of, validator_of
from qinstruct_trainer.prep.sources.download import Download
from qinstruct_trainer.prep.sources.partial_file import Notes
from qinstruct_trainer.prep.sources.retry import AttemptError


def fetch_stream(download: Download) -> None:
    """Attempt after attempt until the file is whole.

    Raises:
        UnavailableError, DataError, StorageError: it cannot become whole.
    """
    download.patiently(lambda: _attempt(download))


def _attempt(download: Download) -> None:
    """One request. Returns when the file is whole."""
    known = download.partial.read_notes(download.source.url)
    have = download.partial.size() if known.validator else 0
    if have and have == known.total:  # whole already; stopped before the unit was published
        download.check_size(have)
        download.progress.set(have)
        return
    headers = {}
    if have and known.validator:
        headers = {"Range": f"bytes={have}-", "If-Range": known.validator}
    with download.ask(headers) as response:
        have = have if continues_at(response, have, known.total) else 0
        _receive(download, response, have)


def _receive(download: Download, response: httpx.Response, have: int) -> None:
    partial, progress = download.partial, download.progress
    length = length_of(response)
    total = None if length is None else have + length
    download.check_size(total or have)
    download.check_space((total or have) - have)
    if have == 0:
        partial.forget()
    url = url_identity(download.source.url)
    partial.write_notes(Notes(url=url, validator=validator_of(response), total=total))
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
