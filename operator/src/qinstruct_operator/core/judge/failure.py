"""Why a workload failed: reason, message and log tail of a `FailureStatus`. Pure.

The trainer's own `Failed` event comes first, because it names the field and the fix; then what
the cluster did to the pod; then the exit code.
"""

import re
from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import Final

from qinstruct_operator.api.status import AttemptFailure, FailureStatus
from qinstruct_operator.core.judge import reasons
from qinstruct_operator.core.judge.kubelet_words import AGAIN, meaning_of
from qinstruct_operator.core.judge.pods import Container, Pod
from qinstruct_operator.core.judge.workloads import Workload
from qinstruct_operator.core.names import training_name
from qinstruct_trainer.contract.errors import (
    EXIT_CONFIG,
    EXIT_DATA,
    EXIT_GPU,
    EXIT_PEER_LOST,
    EXIT_STALLED,
    EXIT_STOPPED,
    EXIT_STORAGE,
    EXIT_UNAVAILABLE,
    STALLED,
    ConfigError,
    DataError,
    GpuError,
    PeerLostError,
    Stopped,
    StorageError,
    UnavailableError,
)
from qinstruct_trainer.contract.events import Failed, Restarting, parse_line
from qinstruct_trainer.contract.safe_text import one_line, printable

_TAIL_LINES = 20
_TAIL_CHARS = 4096
_LINE_CHARS = 1024
_SAID_CHARS = 512
_MESSAGE_CHARS = 2048
_SIGTERM_CODE = 143
_EVENT = re.compile(r'\{.*"event":')  # the begin of each line of ours
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9]{0,127}")

_REFUSED: Final = "FailedValidation"  # behind the kind, as the training-operator says it

_BY_EXIT_CODE: Final = MappingProxyType(
    {
        EXIT_DATA: DataError.reason,
        EXIT_UNAVAILABLE: UnavailableError.reason,
        EXIT_GPU: GpuError.reason,
        EXIT_STORAGE: StorageError.reason,
        EXIT_STOPPED: Stopped.reason,
        EXIT_PEER_LOST: PeerLostError.reason,
        EXIT_CONFIG: ConfigError.reason,
        EXIT_STALLED: STALLED,
        _SIGTERM_CODE: reasons.TERMINATED,
    }
)
"""Reason by exit code, for a container that left no `Failed` event."""

_RETRIED = "the cluster starts it again, and it goes on from what it has saved"
_NEXT = "another attempt goes on from what it has saved"
_WAYS_OUT: Final = MappingProxyType(
    {
        reasons.OUT_OF_MEMORY: "lower spec.training.microBatchSize or maxLength, or use more GPUs "
        "(memory is requested in proportion to gpu.perNode), and create the run again",
        reasons.DEADLINE_EXCEEDED: f"raise spec.scheduling.activeDeadlineSeconds and {AGAIN}",
        reasons.INIT_FAILED: "it is not ours: mend it, or keep what puts it into this run's pods "
        f"away, and {AGAIN}",
        **dict.fromkeys(
            (reasons.POD_LOST, reasons.DISRUPTED, reasons.TERMINATED, Stopped.reason), AGAIN
        ),
    }
)
_OTHER_WAY_OUT: Final = "the log says more: `qinstruct logs`"


def failure(workload: Workload, attempt: int | None, log: Iterable[str]) -> FailureStatus:
    """The verdict on a workload that has failed, or whose newest pod has.

    Args:
        workload: the prep Job or the training workload.
        attempt: the attempt that it belongs to; None for prep.
        log: last lines of its newest pod's log.
    """
    lines = tuple(log)
    pod = workload.pod
    container = pod.container if pod else None
    overran = attempt is None and workload.reason == reasons.DEADLINE_EXCEEDED
    # What a pod says that a deadline has stopped is not why.
    said = None if overran else _last_word(pod, lines)
    if said and pod and (said.reason, pod.reason) == (Stopped.reason, reasons.DEADLINE_EXCEEDED):
        said = None
    # That of ours: where another one failed, it says nothing of that.
    exit_code = container.exit_code if container and not (pod and pod.failed_beside) else None
    reason, message = (
        (said.reason, said.message)
        if said
        else (reasons.DEADLINE_EXCEEDED, _overran(workload))
        if overran
        else _from_cluster(workload, pod, container)
    )
    if attempt is None and workload.verdict == "active":
        message = message.replace(AGAIN, _RETRIED)
    return FailureStatus(
        reason=reason if _WORD.fullmatch(reason) else reasons.ERROR,
        message=one_line(message)[:_MESSAGE_CHARS],
        exit_code=exit_code,
        attempt=attempt,
        log_tail=_tail(lines) or None,
    )


def lost(kind: str, run: str, attempt: int, record: AttemptFailure | None = None) -> FailureStatus:
    """Of an attempt whose workload is gone, with its pods.

    Args:
        kind: of the workload.
        run: its name.
        attempt: that is gone.
        record: how it had ended before, where that is known.
    """
    name = f"{kind} {training_name(run, attempt)}"
    if record is None or record.reason == reasons.WORKLOAD_DELETED:
        text = f"{name} is gone: deleted, or cleaned up before its end was read; {AGAIN}"
        return FailureStatus(reason=reasons.WORKLOAD_DELETED, message=text, attempt=attempt)
    code = "" if record.exit_code is None else f" with exit code {record.exit_code}"
    return FailureStatus(
        reason=record.reason,
        message=f"{name} had failed{code}, and is gone with its log; {AGAIN}",
        exit_code=record.exit_code,
        attempt=attempt,
    )


def going_on(failure: FailureStatus) -> FailureStatus:
    """The same of an attempt after which another one comes by itself."""
    message = failure.message and failure.message.replace(AGAIN, _NEXT)
    return failure.model_copy(update={"message": message})


def _last_word(pod: Pod | None, lines: Sequence[str]) -> Failed | None:
    """The newest `Failed` event of its own in the termination message, else in the log.

    One after which it has started its processes again is not how it ended.
    """
    container = pod.container if pod else None
    if pod is None or container is None or not container.exit_code:
        return None
    # Not splitlines: JSON text may hold separators that it takes for the end of a line.
    for line in (*reversed(container.message.split("\n")), *reversed(lines)):
        event = parse_line(line, pod.writer)
        if isinstance(event, Failed | Restarting):
            return event if isinstance(event, Failed) else None
    return None


def _from_cluster(
    workload: Workload, pod: Pod | None, container: Container | None
) -> tuple[str, str]:
    if pod is None:
        return _without_pod(workload)
    code = container.exit_code if container else None
    # Which of several containers it was that ended so.
    whose = f"container {container.name} of {pod.name}" if container and pod.beside else pod.name
    ended = f"{whose} ended with exit code {code}" if code is not None else f"{pod.name} ended"
    if container and container.reason == "OOMKilled":
        text = f"{ended} (OOMKilled): it used more than its memory limit"
        return reasons.OUT_OF_MEMORY, _with_way_out(reasons.OUT_OF_MEMORY, text)
    if meaning := meaning_of(pod):
        said = f": {_last_line(pod.message)}" if pod.message else ""
        how = f"the kubelet of node {pod.node} refused {pod.name}" if meaning.refuses else ended
        return meaning.reason, f"{how} ({pod.reason}){said}; {meaning.way_out}"
    if pod.disruption:
        text = f"{ended}: the cluster took its place ({pod.disruption})"
        return reasons.DISRUPTED, _with_way_out(reasons.DISRUPTED, text)
    if pod.reason:
        detail = f": {_last_line(pod.message)}" if pod.message else ""
        return pod.reason, _with_way_out(pod.reason, f"{ended} ({pod.reason}){detail}")
    if init := pod.failed_init:
        name = f"init container {init.name} of {pod.name}"
        text = f"{name} ended with exit code {init.state.exit_code}, so that ours never started"
        why = init.state.reason if init.state.reason not in ("", "Error") else ""
        said = ": ".join(filter(None, (why, _last_line(init.state.message))))
        return reasons.INIT_FAILED, _with_way_out(
            reasons.INIT_FAILED, f"{text}: {said}" if said else text
        )
    if pod.failed_beside:
        return reasons.SIDECAR_FAILED, _beside(pod, pod.failed_beside)
    reason = _BY_EXIT_CODE.get(code, reasons.ERROR) if code is not None else reasons.ERROR
    why = _why(container, _although(workload, code)) if container else ""
    return reason, _with_way_out(reason, ended + why)


def _without_pod(workload: Workload) -> tuple[str, str]:
    """Its pod is gone, or it never had one."""
    detail = workload.message.rstrip(".") or "no reason is given"
    if workload.reason.endswith(_REFUSED):
        return reasons.ERROR, f"{workload.name} was refused before it had a pod: {detail}"
    text = f"the pod of {workload.name} is gone: {detail}"
    return reasons.POD_LOST, _with_way_out(reasons.POD_LOST, text)


def _overran(workload: Workload) -> str:
    """A prep Job met its own deadline; its pod is gone, or was only stopped by that."""
    said = _last_line(workload.message)
    return (
        f"{workload.name} took longer than a prep Job may{f': {said}' if said else ''}; see in its "
        "log what it waited for, or raise QINSTRUCT_PREP_HOURS of the operator, and "
        f"{AGAIN}"
    )


def _although(workload: Workload, code: int | None) -> str:
    """Of a container that ended well: e.g. the job's own deadline came, or its pod was lost."""
    if code != 0 or workload.verdict != "failed":
        return ""
    return f"{workload.name} has failed: {_last_line(workload.message) or 'no message'}"


def _beside(pod: Pod, failed: Sequence[Container]) -> str:
    """How the containers beside ours ended, and how ours stood then."""
    names, many = ", ".join(each.name for each in failed), len(failed) > 1
    ends = ", ".join(
        f"container {each.name} of {pod.name} ended with exit code {each.exit_code}{_why(each)}"
        for each in failed
    )
    code = pod.container.exit_code if pod.container else None
    stood = "still ran" if pod.has_started else "never started"
    what = f"{names} are not ours: mend them" if many else f"{names} is not ours: mend it"
    them = "them" if many else "it"
    return (
        f"{ends}; ours {'ended well' if code == 0 else stood}; {what}, or keep what puts {them} "
        f"into this run's pods away, and {AGAIN}"
    )


def _why(container: Container, said: str = "") -> str:
    """The reason and the last word of a container, or what is said, to be put behind its code."""
    why = f" ({container.reason})" if container.reason not in ("", "Error") else ""
    detail = said or _last_line(container.message)
    return why + (f": {detail}" if detail else "")


def _with_way_out(reason: str, text: str) -> str:
    return f"{text}; {_WAYS_OUT.get(reason, _OTHER_WAY_OUT)}"


def _tail(lines: Sequence[str]) -> str:
    """The last lines, each of a bounded length."""
    tail = "\n".join(printable(line)[:_LINE_CHARS] for line in lines[-_TAIL_LINES:])
    return tail[-_TAIL_CHARS:]


def _last_line(text: str) -> str:
    """The last line of a text as part of a sentence; empty where that is an event, for machines."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if not lines or _EVENT.match(lines[-1]):  # also one that the kubelet has cut
        return ""
    return lines[-1][:_SAID_CHARS].rstrip(".")
