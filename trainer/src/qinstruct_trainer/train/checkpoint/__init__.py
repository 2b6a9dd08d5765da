"""Checkpoints: complete or absent, and verified before they are loaded.

Every rank writes its share into `checkpoints/.partial-step-N` (`write`); each file is synced and
digested; rank 0 writes the manifest and publishes the folder by one atomic rename. `resume` takes
the newest folder whose digests hold (`verify`) and belongs to the same run (`identity`); it moves
the others to `checkpoints/quarantine`.

May import `engine` and `ranks` of `train`, and every room that `train` may import.
"""
