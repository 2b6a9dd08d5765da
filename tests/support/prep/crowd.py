"""Runs many preps at once, up to the merged records: forks of one process, which has imported once.

    python crowd.py CACHE LABELS_URL ARCHIVE_URL NUM_PREPS

Prints their exit codes as JSON: minus the signal that ended one. The model's stage is left out: it
would import torch in each.
"""

import json
import os
import sys
from pathlib import Path

from qinstruct_trainer.contract.config import Source
from qinstruct_trainer.contract.errors import RunError
from qinstruct_trainer.contract.events import Event
from qinstruct_trainer.prep.gate import GateReport, RecordFile
from qinstruct_trainer.prep.stages import REPORT, ImageFolders, Labels, Stages
from qinstruct_trainer.prep.unit_cache import UnitCache


def prepare(cache: Path, run: str, labels: Source, images: Source) -> None:
    """As `run_prep` does, up to the merge."""
    stages = Stages(UnitCache(cache, run, _ignore), _ignore)
    fetched = stages.fetch(labels)
    file = RecordFile(source=labels.name, path=fetched.folder / "file")
    found = Labels((file,), (fetched.key,))
    extracted = stages.images(images, found)
    folders = ImageFolders((extracted.folder / "files",), (extracted.key,))
    pixels = stages.pixel_units(folders, size=56, reserve=0)
    gate = stages.gate(found, folders, pixels)
    report = GateReport.model_validate_json((gate.folder / REPORT).read_bytes())
    stages.merge(gate, report)


def main(cache: Path, labels_url: str, archive_url: str, num_preps: int) -> None:
    """Fork, and wait for all; a killed one is no zombie for others, who ask whether it lives."""
    labels = Source(name="labels", kind="labels", url=labels_url)
    images = Source(name="images", kind="images", url=archive_url)
    for number in range(num_preps):
        if os.fork() == 0:
            code = 1
            try:
                prepare(cache, f"run-{number}", labels, images)
                code = 0
            except RunError as error:
                sys.stderr.write(f"{error}\n")
            finally:
                os._exit(code)
    codes = [os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(num_preps)]
    sys.stdout.write(json.dumps(codes))


def _ignore(_: Event) -> None:
    pass


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]))
