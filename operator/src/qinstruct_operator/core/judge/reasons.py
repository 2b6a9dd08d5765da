"""Every reason of every condition, as `docs/status.md` explains them. Pure data."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from qinstruct_operator.constants import (
    CONDITION_ACCEPTED,
    CONDITION_COMPLETE,
    CONDITION_FAILED,
    CONDITION_PREPARED,
    CONDITION_RUNNING,
    CONDITION_SCHEDULED,
    REASON_INVALID_SPEC,
)
from qinstruct_trainer.contract.errors import (
    BUG,
    KILLED,
    STALLED,
    UNEXPLAINED,
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
INVALID_SPEC: Final = REASON_INVALID_SPEC
NAME_TAKEN: Final = "NameTaken"
EDIT_IGNORED: Final = "EditIgnored"
NOT_ACCEPTED: Final = "NotAccepted"
PREPARING: Final = "Preparing"
WAITING_FOR_RUN: Final = "WaitingForRun"
RETRYING: Final = "Retrying"
STOPPING: Final = "Stopping"
SIDECAR_RUNNING: Final = "SidecarRunning"
NODE_LOST: Final = "NodeLost"
DELETING: Final = "Deleting"
STUCK: Final = "Stuck"
SILENT: Final = "Silent"
PREPARED: Final = "Prepared"
WAITING_FOR_DATA: Final = "WaitingForData"
SCHEDULED: Final = "Scheduled"
WAITING_FOR_NODE: Final = "WaitingForNode"
RECOVERING: Final = "Recovering"
LOADING: Final = "Loading"
TRAINING: Final = "Training"
RESTARTING: Final = "Restarting"
FINISHING: Final = "Finishing"
FINISHED: Final = "Finished"
IN_PROGRESS: Final = "InProgress"
COMPLETE: Final = "Complete"
FAILED: Final = "Failed"
UNREADABLE: Final = "Unreadable"

# Why a workload's container has not started.
REFUSED: Final = "Refused"
QUEUED: Final = "Queued"
SUSPENDED: Final = "Suspended"
PENDING: Final = "Pending"
POD_REMAINS: Final = "PodRemains"
POD_REFUSED: Final = "PodRefused"
UNSCHEDULABLE: Final = "Unschedulable"
CLAIM_PENDING: Final = "ClaimPending"
CLAIM_LOST: Final = "ClaimLost"
CLAIM_MISMATCH: Final = "ClaimMismatch"
CLAIM_NOT_ALLOWED: Final = "ClaimNotAllowed"
NO_CONTROLLER: Final = "NoController"
GATED: Final = "Gated"
INITIALIZING: Final = "Initializing"
IMAGE_UNAVAILABLE: Final = "ImageUnavailable"
BLOCKED: Final = "Blocked"
STARTING: Final = "Starting"

RESUMED: Final = "Resumed"
"""Of an event alone: what spec.suspend held goes on."""

# Why a workload failed, beside what the trainer itself says.
OUT_OF_MEMORY: Final = OutOfMemoryError.reason
POD_LOST: Final = "PodLost"
WORKLOAD_DELETED: Final = "WorkloadDeleted"
DISRUPTED: Final = "Disrupted"
EVICTED: Final = "Evicted"
INIT_FAILED: Final = "InitFailed"
SIDECAR_FAILED: Final = "SidecarFailed"
NODE_FULL: Final = "NodeFull"
ADMISSION_ERROR: Final = "UnexpectedAdmissionError"
NODE_AFFINITY: Final = "NodeAffinity"
TOPOLOGY_AFFINITY: Final = "TopologyAffinityError"
NODE_REFUSED: Final = "NodeRefused"
NODE_SHUTDOWN: Final = "NodeShutdown"
PREEMPTING: Final = "Preempting"
DEADLINE_EXCEEDED: Final = "DeadlineExceeded"
ERROR: Final = UNEXPLAINED
TERMINATED: Final = "Terminated"

WAITING: Final = (
    REFUSED,
    CLAIM_MISMATCH,
    CLAIM_NOT_ALLOWED,
    QUEUED,
    SUSPENDED,
    PENDING,
    NO_CONTROLLER,
    POD_REMAINS,
    POD_REFUSED,
    GATED,
    UNSCHEDULABLE,
    CLAIM_PENDING,
    CLAIM_LOST,
    IMAGE_UNAVAILABLE,
    BLOCKED,
    INITIALIZING,
    STARTING,
)
"""Reasons to wait, those before there is a workload included."""

TROUBLES: Final = (NODE_LOST, DELETING, STUCK, SILENT)
"""What is wrong with a pod that has started, or with its workload."""

NEEDS_ATTENTION: Final = frozenset(
    {
        REFUSED,
        CLAIM_MISMATCH,
        CLAIM_NOT_ALLOWED,
        SUSPENDED,
        NO_CONTROLLER,
        POD_REMAINS,
        POD_REFUSED,
        GATED,
        UNSCHEDULABLE,
        CLAIM_PENDING,
        CLAIM_LOST,
        IMAGE_UNAVAILABLE,
        BLOCKED,
        NODE_LOST,
        STUCK,
        SILENT,
    }
)
"""Reasons to wait, and troubles, that will hardly pass by themselves."""

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
    NODE_SHUTDOWN,
    PREEMPTING,
    NODE_FULL,
    NODE_AFFINITY,
    ADMISSION_ERROR,
    TOPOLOGY_AFFINITY,
    NODE_REFUSED,
    INIT_FAILED,
    SIDECAR_FAILED,
    DEADLINE_EXCEEDED,
    POD_LOST,
    WORKLOAD_DELETED,
    PeerLostError.reason,
    STALLED,
    KILLED,
    BUG,
    ERROR,
)
"""Reasons to fail that are known; a newer trainer or kubelet may say others."""

REASONS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        CONDITION_ACCEPTED: (ACCEPTED, EDIT_IGNORED, INVALID_SPEC, NAME_TAKEN, UNREADABLE),
        CONDITION_PREPARED: (
            PREPARED,
            NOT_ACCEPTED,
            *WAITING,
            PREPARING,
            WAITING_FOR_RUN,
            RETRYING,
            STOPPING,
            SIDECAR_RUNNING,
            UNREADABLE,
            *TROUBLES,
            FAILED,
        ),
        CONDITION_SCHEDULED: (
            SCHEDULED,
            WAITING_FOR_DATA,
            NOT_ACCEPTED,
            RECOVERING,
            *WAITING,
            STOPPING,
            STUCK,
            DELETING,
            UNREADABLE,
            FAILED,
        ),
        CONDITION_RUNNING: (
            LOADING,
            TRAINING,
            RESTARTING,
            FINISHING,
            WAITING_FOR_DATA,
            WAITING_FOR_NODE,
            *WAITING,
            STOPPING,
            SIDECAR_RUNNING,
            UNREADABLE,
            *TROUBLES,
            FINISHED,
            FAILED,
        ),
        CONDITION_COMPLETE: (COMPLETE, IN_PROGRESS, UNREADABLE, FAILED),
        CONDITION_FAILED: (IN_PROGRESS, UNREADABLE, *FAILURES),
    }
)
"""Every reason of a condition; a newer trainer may give `Failed` others."""


@dataclass(frozen=True)
class Waiting:
    """Why something does not go on: a reason and a sentence."""

    reason: str
    message: str
