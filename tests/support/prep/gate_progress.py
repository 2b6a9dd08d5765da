"""The progress of a gate, for tests of what reports to it."""

from qinstruct_trainer.contract.events import Event
from qinstruct_trainer.prep.progress import Progress


def progress(events: list[Event] | None = None) -> Progress:
    """Its events go into the list, if there is one."""
    return Progress((events if events is not None else []).append, "gate", "records", "files")
