"""How far each source is, as the operator reads it from the lines of a prep of them all."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby
from pathlib import Path

import pytest

from qinstruct_operator.api.status import PrepStatus
from qinstruct_operator.catalog.sources import SOURCES
from qinstruct_operator.core.judge.progress import prep_progress
from qinstruct_trainer.contract.config import PrepConfig, Source
from qinstruct_trainer.contract.events import PrepProgress, PrepWaiting, parse_line
from qinstruct_trainer.prep.run import run_prep
from support.prep.file_server import serve
from support.prep.prep_json import write_prep_json
from support.prep.published_sources import served, write_published

IN_ORDER = ["q-instruct-labels", "mix665k-labels"]
IN_ORDER += [name for name in SOURCES if name not in IN_ORDER]
LOG_LINES = 200  # that the operator reads

Said = list[PrepProgress | PrepWaiting]


class _EnoughError(Exception):
    """The sources are there: what comes next is not of this test."""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Source, ...]]:
    """All that are published, of OCR-VQA the list of addresses."""
    folder = tmp_path_factory.mktemp("site")
    with serve(folder) as server:
        write_published(folder, server.url)
        yield tuple(
            Source(name=name, kind=SOURCES[name].kind, url=url, into=SOURCES[name].into)
            for name, url in served(server.url).items()
        )


def said_by_prep(config: Path) -> Said:
    """What the lines say, until all sources are there."""
    said: Said = []

    def report(event: object) -> None:
        assert isinstance(event, PrepProgress | PrepWaiting)
        read = parse_line(event.model_dump_json(exclude_none=True), None)
        assert read == event
        said.append(event)
        if event.stage == "gate":
            raise _EnoughError

    with suppress(_EnoughError):
        run_prep(PrepConfig.read(config), report)
    return said


def statuses(said: Said) -> list[PrepStatus]:
    """At every moment, as far as the operator sees back."""
    ends = [said[max(0, end - LOG_LINES) : end] for end in range(1, len(said) + 1)]
    return [seen.status for end in ends if (seen := prep_progress(end))]


def course(said: Said) -> dict[str, str]:
    """The states of each source, each as long as it lasts."""
    rows = [status.sources or () for status in statuses(said)]
    assert [row.name for row in rows[0]] == IN_ORDER
    return {
        name: " ".join(state for state, _ in groupby(row[number].state for row in rows))
        for number, name in enumerate(IN_ORDER)
    }


def way(name: str) -> str:
    """What becomes of a source that was not there: of the first one the first event."""
    if name == "ocr-vqa":
        return "Waiting Fetching Ready"
    images = "Waiting Fetching Extracting Ready"
    return {IN_ORDER[0]: "Fetching Ready", IN_ORDER[1]: "Waiting Fetching Ready"}.get(name, images)


@pytest.mark.slow
@pytest.mark.parametrize("keep_archives", [True, False])
def test_each_is_fetched_and_extracted_and_the_next_time_from_the_cache(
    sources: tuple[Source, ...], tmp_path: Path, *, keep_archives: bool
) -> None:
    first = write_prep_json(tmp_path, "first", sources, keep_archives=keep_archives)
    said = said_by_prep(first)
    assert course(said) == {name: way(name) for name in IN_ORDER}
    for row in statuses(said)[-1].sources or ():
        assert (row.done or 0) > 0
        assert row.done == row.total
        assert row.unit == ("files" if row.name == "ocr-vqa" else "bytes")
        assert row.eta is None

    second = write_prep_json(tmp_path, "second", sources, keep_archives=keep_archives)
    cached = {name: "Waiting Cached" for name in IN_ORDER[1:]} | {IN_ORDER[0]: "Cached"}
    assert course(said_by_prep(second)) == cached
