"""Why a workload failed, from everything its pod left behind. Pure.

The trainer's own last word wins, because it names the field and the way out; then what the
cluster did to the pod; then the exit code alone.
"""

from collections.abc import Iterable
from types import MappingProxyType
from typing import Final

from qinstruct_operator.api.status import FailureStatus
from qinstruct_operator.core.observe import Container, Pod, Workload
from qinstruct_trainer.errors import (
    EXIT_CONFIG,
    EXIT_DATA,
    EXIT_PEER_LOST,
    EXIT_STOPPED,
    EXIT_STORAGE,
    EXIT_UNAVAILABLE,
    ConfigError,
    DataError,
    PeerLostError,
    Stopped,
    StorageError,
    UnavailableError,
)
from qinstruct_trainer.events import Failed, parse_line

OUT_OF_MEMORY: Final = "OutOfMemory"
POD_LOST: Final = "PodLost"
DISRUPTED: Final = "Disrupted"
ERROR: Final = "Error"

_TAIL_LINES = 20
_TAIL_CHARS = 4096
_MESSAGE_CHARS = 2048
_SIGTERM_CODE = 143

_REASONS: Final = MappingProxyType(
    {
        EXIT_DATA: DataError.reason,
        EXIT_UNAVAILABLE: UnavailableError.reason,
        EXIT_STORAGE: StorageError.reason,
        EXIT_STOPPED: Stopped.reason,
        EXIT_PEER_LOST: PeerLostError.reason,
        EXIT_CONFIG: ConfigError.reason,
        _SIGTERM_CODE: "Terminated",
    }
)
"""By exit code, for a container that left no last word."""

_WAYS_OUT: Final = MappingProxyType(
    {
        OUT_OF_MEMORY: "lower spec.training.microBatchSize or maxLength, or use more GPUs "
        "(memory is requested in proportion to gpu.perNode), and create the run again",
        "DeadlineExceeded": "raise spec.scheduling.activeDeadlineSeconds and create the run "
        "again: it goes on from its last checkpoint",
        POD_LOST: "create the run again: it goes on from its last checkpoint",
        DISRUPTED: "create the run again: it goes on from its last checkpoint",
        "Evicted": "free what the message names, and create the run again: it goes on from its "
        "last checkpoint",
    }
)
_OTHER_WAY_OUT: Final = "the log says more: `qinstruct logs`"


def failure(workload: Workload, attempt: int | None, log: Iterable[str]) -> FailureStatus:
    """The verdict on a workload that has failed, or whose newest pod has.

    Args:
        workload: the prep Job or the PyTorchJob.
        attempt: the attempt that it belongs to; None for prep.
        log: last lines of its newest pod's log.
    """
    tail = _tail(log)
    pod = workload.pod
    container = pod.container if pod else None
    said = _last_word(container, tail)
    exit_code = container.exit_code if container else None
    reason, message = (
        (said.reason, said.message) if said else _from_cluster(workload, pod, container)
    )
    return FailureStatus(
        reason=reason[:256] or ERROR,
        message=message[:_MESSAGE_CHARS],
        exit_code=exit_code,
        attempt=attempt,
        log_tail="\n".join(tail)[-_TAIL_CHARS:] or None,
    )


def _last_word(container: Container | None, tail: tuple[str, ...]) -> Failed | None:
    """The newest `Failed` event in the termination message or the log."""
    if container is None or not container.exit_code:
        return None
    for line in [*container.message.splitlines(), *reversed(tail)]:
        event = parse_line(line)
        if isinstance(event, Failed):
            return event
    return None


def _from_cluster(
    workload: Workload, pod: Pod | None, container: Container | None
) -> tuple[str, str]:
    if pod is None:
        told = workload.message or "no reason is given"
        return POD_LOST, _with_way_out(POD_LOST, f"the pod of {workload.name} is gone: {told}")
    code = container.exit_code if container else None
    ended = f"{pod.name} ended" + (f" with exit code {code}" if code is not None else "")
    if container and container.reason == "OOMKilled":
        text = f"{ended} (OOMKilled): it used more than its memory limit"
        return OUT_OF_MEMORY, _with_way_out(OUT_OF_MEMORY, text)
    if pod.disruption:
        text = f"{ended}: the cluster took its place ({pod.disruption})"
        return DISRUPTED, _with_way_out(DISRUPTED, text)
    if pod.reason:
        told = f": {_one_line(pod.message)}" if pod.message else ""
        return pod.reason, _with_way_out(pod.reason, f"{ended} ({pod.reason}){told}")
    reason = _REASONS.get(code, ERROR) if code is not None else ERROR
    told = _one_line(container.message) if container else ""
    why = container.reason if container and container.reason != "Error" else ""
    parts = [ended, f" ({why})" if why else "", f": {told}" if told else ""]
    return reason, _with_way_out(reason, "".join(parts))


def _with_way_out(reason: str, text: str) -> str:
    return f"{text}; {_WAYS_OUT.get(reason, _OTHER_WAY_OUT)}"


def _tail(log: Iterable[str]) -> tuple[str, ...]:
    """The last lines, without what a terminal or YAML would trip over."""
    return tuple(
        "".join(sign if sign.isprintable() or sign == "\t" else "?" for sign in line)[:1024]
        for line in tuple(log)[-_TAIL_LINES:]
    )


def _one_line(text: str) -> str:
    """The end of a text as part of a sentence: the last line is the one that says it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:512].rstrip(".") if lines else ""
