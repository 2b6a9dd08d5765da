"""Runs prep in a process and holds it in the middle of a stage, to be killed there.

    python driver.py PREP_JSON [STAGE]

Prints the event lines. At the first progress of STAGE that is not from the cache it prints
`held` and sleeps: the stage's unit is half made and its lease is alive.
"""

import sys
import time
from pathlib import Path

from qinstruct_trainer.contract.config import PrepConfig
from qinstruct_trainer.contract.events import Event, PrepProgress, emit
from qinstruct_trainer.prep.run import run_prep


def main(config: Path, stage: str | None = None) -> None:
    def report(event: Event) -> None:
        emit(event)
        if not isinstance(event, PrepProgress) or event.cached or event.done == 0:
            return
        if event.stage == stage:
            sys.stdout.write("held\n")
            sys.stdout.flush()
            time.sleep(600)

    run_prep(PrepConfig.read(config), report)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
