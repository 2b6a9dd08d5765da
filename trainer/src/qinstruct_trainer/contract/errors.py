"""The ways in which prep and training end, each with its exit code (sysexits.h, but one).

A `RunError` is a message for a person: one sentence that names the thing, its value, the
reason and what to do. `__main__` prints it without a traceback. Everything else that
escapes is a bug and keeps its traceback.
"""

from typing import ClassVar

from qinstruct_trainer.contract.safe_text import escaped

EXIT_OK = 0
EXIT_DATA = 65  # EX_DATAERR: the user's data is wrong
EXIT_UNAVAILABLE = 69  # EX_UNAVAILABLE: a server or a file is not there
EXIT_SOFTWARE = 70  # EX_SOFTWARE: the mathematics broke down, or a bug
EXIT_GPU = 71  # EX_OSERR: a GPU, its driver or the link between GPUs failed
EXIT_STORAGE = 74  # EX_IOERR: disk full, read or write failed
EXIT_STOPPED = 75  # EX_TEMPFAIL: asked to stop; checkpointed; run again to go on
EXIT_PEER_LOST = 76  # EX_PROTOCOL: another rank vanished; never the root cause, so never a verdict
EXIT_CONFIG = 78  # EX_CONFIG: the configuration is wrong
EXIT_STALLED = 124  # as timeout(1): a rank made no progress for longer than anything may take


KILLED = "Killed"
"""Reason of a process that was killed and could not say why."""

STALLED = "Stalled"
"""Reason of a run whose ranks were ended because one of them hung."""

BUG = "Bug"
"""Reason of an exception that nobody expected: it is our mistake."""

UNEXPLAINED = "Error"
"""Reason of an exit code that nobody explains."""


class RunError(Exception):
    """A run that cannot go on. `reason` is one CamelCase word for programs.

    Its text is one line that harms no terminal, whatever the names in it are.
    """

    exit_code: ClassVar[int] = EXIT_SOFTWARE
    reason: ClassVar[str] = "Failed"

    def __init__(self, message: str) -> None:
        super().__init__(escaped(message))


class ConfigError(RunError):
    """The configuration contradicts itself, the data or the machine."""

    exit_code = EXIT_CONFIG
    reason = "BadConfig"


class DataError(RunError):
    """A record, an archive or a checkpoint is malformed or damaged."""

    exit_code = EXIT_DATA
    reason = "BadData"


class UnavailableError(RunError):
    """A source cannot be reached, or answers with something else than the file."""

    exit_code = EXIT_UNAVAILABLE
    reason = "Unavailable"


class StorageError(RunError):
    """The disk is full or broken."""

    exit_code = EXIT_STORAGE
    reason = "Storage"


class NonFiniteLossError(RunError):
    """The loss is NaN or infinite; the optimizer has not seen it."""

    exit_code = EXIT_SOFTWARE
    reason = "NonFiniteLoss"


class OutOfMemoryError(RunError):
    """The device or the host has too little memory for the run as configured."""

    exit_code = EXIT_SOFTWARE
    reason = "OutOfMemory"


class GpuError(RunError):
    """CUDA, a library of it, the driver or NCCL failed: the machine's fault, not the run's."""

    exit_code = EXIT_GPU
    reason = "GpuFailed"


class PeerLostError(RunError):
    """A collective call failed because another rank is gone; that rank knows the cause."""

    exit_code = EXIT_PEER_LOST
    reason = "PeerLost"


class OutputBusyError(RunError):
    """Another live process holds the lease on the output folder."""

    exit_code = EXIT_UNAVAILABLE
    reason = "OutputBusy"


class Stopped(RunError):  # noqa: N818 - not an error: the run was asked to stop and did
    """A checkpoint was saved after SIGTERM; the same command goes on from it."""

    exit_code = EXIT_STOPPED
    reason = "Stopped"
