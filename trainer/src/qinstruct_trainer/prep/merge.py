"""The records of all sources as one JSON lines file, written and read in constant memory.

Equal in order and content to the published `jq -s add`, without the records that the gate
dropped. Each record keeps its own text, so that even its numbers are those of the source.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from qinstruct_trainer.data.records import Record, parse_record
from qinstruct_trainer.durable_files import link_or_copy
from qinstruct_trainer.prep.gate import GateReport
from qinstruct_trainer.prep.progress import Progress


def merge(lines: Path, report: GateReport, target: Path, progress: Progress) -> None:
    """Write the lines that the report does not call bad; the same file again if there are none.

    Args:
        lines: What the gate read: the records of all files, one a line.
        report: What the gate found.
        target: The file to make.
        progress: Counts the records done.

    Raises:
        OSError: the target cannot be written.
    """
    progress.total = report.num_records - report.num_bad
    if not report.num_bad:
        progress.set(min(1, progress.total))  # an event at the first, as in copying
        link_or_copy(lines, target)
        progress.set(progress.total)
    else:
        with lines.open("rb") as file, target.open("wb") as out:
            for is_bad, line in zip(_verdicts(report), file, strict=True):
                if not is_bad:
                    out.write(line)
                    progress.add()
    progress.finish()


def _verdicts(report: GateReport) -> Iterator[bool]:
    """Of each record in the order of the merge, whether it is bad."""
    for count in report.counts:
        bad = report.bad_numbers(count.source)
        following = next(bad, None)
        for number in range(count.records):
            yield number == following
            if number == following:
                following = next(bad, None)


def read_records(merged: Path) -> Iterator[Record]:
    """The records of the file that `merge` wrote."""
    with merged.open(encoding="utf-8") as file:
        for index, line in enumerate(file):
            yield parse_record(json.loads(line), index)
