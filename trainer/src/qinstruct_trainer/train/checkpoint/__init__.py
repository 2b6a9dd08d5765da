"""Checkpoints: complete or absent, and verified before they are loaded.

Every rank writes its share into `checkpoints/.partial-step-N` (`write`) while the run goes on,
from a copy of its state (`host_copy`), if there is memory for it (`host_memory`). Each file is
synced and digested; rank 0 writes the manifest and publishes the folder by one atomic rename.
`resume` takes the newest folder whose digests hold (`verify`) and which belongs to the same run
(`identity`). It sets a damaged one aside (`quarantine`), and refuses where the run would begin
again (`history`). `retention` bounds what is on the disk, at each moment.

May import `engine`, `metrics`, `ranks` and `state_files` of `train`, and every room that `train`
may import.
"""
