"""A lease on a shared folder: one live process at a time, taken over when its holder dies.

Works between processes, pods and nodes on one shared file system. It needs nothing but
exclusive creation (O_EXCL), which NFS has; flock is not used, because network file systems
often do not pass it on.

The lease `name` is a row of files `name.1`, `name.2`, ... of which the highest number counts.
A holder rewrites its file every few seconds (the heartbeat) and marks it released at the end.
A process that finds the highest file released, or silent for `stale_seconds`, creates the next
number exclusively, so that of two that try only one succeeds. Numbers are never reused: a
holder that was frozen and wakes up sees a higher number and knows that it lost (`Lease.check`).

`lease` holds it, `takeover` decides when another process may, `holder` is what a file says.
They import the contract, `durable_files` and `process_stat` only.
"""

from qinstruct_trainer.lease.lease import Lease
from qinstruct_trainer.lease.takeover import is_free

__all__ = ["Lease", "is_free"]
