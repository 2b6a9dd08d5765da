"""Every reason of every condition, as `docs/status.md` explains them. Pure data."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from qinstruct_operator.constants import (
    CONDITION_ACCEPTED,
    CONDITION_COMPLETE,
    CONDITION_FAILED,
    CONDITION_PREPARED,
    CONDITION_RUNNING,
    CONDITION_SCHEDULED,
)
from qinstruct_trainer.contract.errors import (
    BUG,
    KILLED,
    ConfigError,
    DataError,
    GpuError,
    NonFiniteLossError,
    OutOfMemoryError,
    OutputBusyError,
    PeerLostError,
    Stopped,
    StorageError,
    UnavailableError,
)

# How far the run is.
ACCEPTED: Final = "Accepted"
INVALID_SPEC: Final = "InvalidSpec"
NAME_TAKEN: Final = "NameTaken"
NOT_ACCEPTED: Final = "NotAccepted"
PREPARING: Final = "Preparing"
WAITING_FOR_RUN: Final = "WaitingForRun"
RETRYING: Final = "Retrying"
STOPPING: Final = "Stopping"
SIDECAR_RUNNING: Final = "SidecarRunning"
PREPARED: Final = "Prepared"
WAITING_FOR_DATA: Final = "WaitingForData"
SCHEDULED: Final = "Scheduled"
WAITING_FOR_NODE: Final = "WaitingForNode"
LOADING: Final = "Loading"
TRAINING: Final = "Training"
FINISHING: Final = "Finishing"
FINISHED: Final = "Finished"
IN_PROGRESS: Final = "InProgress"
COMPLETE: Final = "Complete"
FAILED: Final = "Failed"

# Why a workload's container has not started.
REFUSED: Final = "Refused"
QUEUED: Final = "Queued"
PENDING: Final = "Pending"
POD_REFUSED: Final = "PodRefused"
UNSCHEDULABLE: Final = "Unschedulable"
CLAIM_PENDING: Final = "ClaimPending"
IMAGE_UNAVAILABLE: Final = "ImageUnavailable"
BLOCKED: Final = "Blocked"
STARTING: Final = "Starting"

# Why a workload failed, beside what the trainer itself says.
OUT_OF_MEMORY: Final = OutOfMemoryError.reason
POD_LOST: Final = "PodLost"
DISRUPTED: Final = "Disrupted"
EVICTED: Final = "Evicted"
DEADLINE_EXCEEDED: Final = "DeadlineExceeded"
TERMINATED: Final = "Terminated"
ERROR: Final = "Error"

WAITING: Final = (
    REFUSED,
    QUEUED,
    PENDING,
    POD_REFUSED,
    UNSCHEDULABLE,
    CLAIM_PENDING,
    IMAGE_UNAVAILABLE,
    BLOCKED,
    STARTING,
)
"""Reasons to wait, those before there is a workload included."""

NEEDS_ATTENTION: Final = frozenset(
    {REFUSED, POD_REFUSED, UNSCHEDULABLE, CLAIM_PENDING, IMAGE_UNAVAILABLE, BLOCKED}
)
"""Reasons to wait that will hardly pass by themselves."""

FAILURES: Final = (
    ConfigError.reason,
    DataError.reason,
    UnavailableError.reason,
    StorageError.reason,
    OutputBusyError.reason,
    NonFiniteLossError.reason,
    OUT_OF_MEMORY,
    GpuError.reason,
    Stopped.reason,
    TERMINATED,
    DISRUPTED,
    EVICTED,
    DEADLINE_EXCEEDED,
    POD_LOST,
    PeerLostError.reason,
    KILLED,
    BUG,
    ERROR,
)
"""Reasons to fail that are known; a newer trainer or kubelet may say others."""

REASONS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        CONDITION_ACCEPTED: (ACCEPTED, INVALID_SPEC, NAME_TAKEN),
        CONDITION_PREPARED: (
            PREPARED,
            NOT_ACCEPTED,
            *WAITING,
            PREPARING,
            WAITING_FOR_RUN,
            RETRYING,
            STOPPING,
            SIDECAR_RUNNING,
            FAILED,
        ),
        CONDITION_SCHEDULED: (SCHEDULED, WAITING_FOR_DATA, NOT_ACCEPTED, *WAITING, FAILED),
        CONDITION_RUNNING: (
            LOADING,
            TRAINING,
            FINISHING,
            WAITING_FOR_DATA,
            WAITING_FOR_NODE,
            *WAITING,
            STOPPING,
            SIDECAR_RUNNING,
            FINISHED,
            FAILED,
        ),
        CONDITION_COMPLETE: (COMPLETE, IN_PROGRESS, FAILED),
        CONDITION_FAILED: (IN_PROGRESS, *FAILURES),
    }
)
"""Every reason of a condition; a newer trainer may give `Failed` others."""
