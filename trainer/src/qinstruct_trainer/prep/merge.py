"""Label files to one file of records, a line each, in constant memory.

Equal in order and content to the published `jq -s add`, without the records that the gate
dropped. Each record keeps its own text, so that even its numbers are those of the source.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from qinstruct_trainer.data.records import Record, parse_record
from qinstruct_trainer.prep.gate import GateReport, Labels
from qinstruct_trainer.prep.json_array import read_elements
from qinstruct_trainer.prep.progress import Progress


def merge(labels: Sequence[Labels], report: GateReport, target: Path, progress: Progress) -> None:
    """Write the good records of all label files, one after the other, to a JSON lines file.

    Raises:
        DataError: a label file is not a JSON array.
        OSError: the target cannot be written.
    """
    dropped = {(bad.source, bad.index) for bad in report.bad}
    progress.total = report.num_records - len(dropped)
    with target.open("w", encoding="utf-8", newline="") as out:
        for file in labels:
            for index, (text, _) in enumerate(read_elements(file.path, file.source)):
                if (file.source, index) not in dropped:
                    out.write(text + "\n")
                    progress.add()
    progress.finish()


def read_records(merged: Path) -> Iterator[Record]:
    """The records of the file that `merge` wrote."""
    with merged.open(encoding="utf-8") as file:
        for index, line in enumerate(file):
            yield parse_record(json.loads(line), index)
