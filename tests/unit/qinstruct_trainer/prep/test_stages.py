"""The stages before the model need little memory and begin at once: without torch."""

import subprocess
import sys
from pathlib import Path

from qinstruct_trainer.contract.config import ModelSource, PrepConfig, Source
from support.prep.miniature import write_miniature

# Ends when the last record is merged; says at every event which of the heavy packages are there.
PROGRAM = """
import sys
from pathlib import Path
from qinstruct_trainer.__main__ import main
from qinstruct_trainer.contract.config import PrepConfig
from qinstruct_trainer.prep.run import run_prep

def report(event):
    print(event.stage, *{"torch", "transformers"} & sys.modules.keys())
    if event.stage == "merge" and event.done == event.total:
        sys.exit()

run_prep(PrepConfig.read(Path(sys.argv[1])), report)
"""


def test_no_stage_before_the_model_imports_torch(tmp_path: Path) -> None:
    made = write_miniature(tmp_path / "served")
    config = PrepConfig(
        run="run",
        cache=tmp_path / "cache",
        output=tmp_path / "output",
        sources=(
            Source(name="labels", kind="labels", url=made.labels.as_uri()),
            Source(name="images", kind="images", url=made.archive.as_uri()),
        ),
        model=ModelSource(kind="tiny"),
        max_length=512,
        seed=0,
    )
    path = tmp_path / "prep.json"
    path.write_text(config.to_json())
    command = [sys.executable, "-c", PROGRAM, str(path)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert {*lines} == {"fetch", "extract", "gate", "merge"}
