"""RunContext: the configuration, data and process of a run, which do not change while it runs."""

from dataclasses import dataclass

from qinstruct_trainer.contract.config import Prepared, RunConfig
from qinstruct_trainer.data.index.reader import Index
from qinstruct_trainer.heartbeats import Heartbeat
from qinstruct_trainer.lease import Lease
from qinstruct_trainer.train.checkpoint.identity import Identity
from qinstruct_trainer.train.ranks import Ranks


@dataclass(frozen=True, eq=False)
class RunContext:
    """A run as one of its processes sees it.

    Attributes:
        lease: On the output folder, held by rank 0; None elsewhere.
        heartbeat: Says to the watch how far this process is.
    """

    config: RunConfig
    prepared: Prepared
    index: Index
    identity: Identity
    ranks: Ranks
    lease: Lease | None
    heartbeat: Heartbeat
