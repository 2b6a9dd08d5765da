"""What a judgement becomes where something could not be read: what was known is kept. Pure.

A read that failed is no evidence: neither that there is nothing, nor that nothing has changed. A
condition that depends on it stays as it was, and says since when it is not known anew; without an
earlier one it is `Unknown`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from qinstruct_operator.api.status import Condition, Status, UnreadStatus
from qinstruct_operator.constants import (
    CONDITION_ACCEPTED,
    CONDITION_COMPLETE,
    CONDITION_FAILED,
    CONDITION_PREPARED,
    CONDITION_RUNNING,
    CONDITION_SCHEDULED,
)
from qinstruct_operator.core.condition_list import find_condition
from qinstruct_operator.core.judge import reasons
from qinstruct_operator.core.judge.evidence import Evidence, is_pod_of
from qinstruct_operator.core.judge.judged import Judged, unknown
from qinstruct_operator.core.judge.observe import Part
from qinstruct_operator.core.times import past_time, time_text

_SINCE: Final = "; not known anew since "
_NOTHING: Final = "nothing that was read says this"
_DIGITS: Final = re.compile(r"\b(?=[0-9a-fA-F-]*\d)[0-9a-fA-F-]+\b|\d+")  # of ids too
_LAST_WORD: Final = timedelta(seconds=10)  # in which a pass is repeated four times

_WORKLOADS: Final[tuple[Part, ...]] = ("prep", "training")
_BY_LOG: Final = frozenset({reasons.TRAINING, reasons.RESTARTING, reasons.FINISHING})
_BY_EVENTS: Final = frozenset({reasons.POD_REFUSED, reasons.CLAIM_PENDING, reasons.BLOCKED})
_UNBEGUN: Final = frozenset({reasons.PENDING, reasons.REFUSED, reasons.NO_CONTROLLER})


@dataclass(frozen=True)
class _Doubt:
    """What is open about a reason while one part is unread.

    Attributes:
        judged: the reasons that may be judged only because of that; None: all.
        earlier: an earlier reason of these stands; None: any does.
        instead: what is said without an earlier one; empty: what was judged holds all the same.
    """

    part: Part
    judged: frozenset[str] | None
    earlier: frozenset[str] | None = frozenset()
    instead: str = ""


_WAITS: Final = (
    _Doubt(
        "support",
        frozenset({reasons.PENDING, reasons.UNSCHEDULABLE}),
        frozenset({reasons.CLAIM_PENDING}),
    ),
    _Doubt(
        "events",
        frozenset(
            {
                reasons.PENDING,
                reasons.NO_CONTROLLER,
                reasons.UNSCHEDULABLE,
                reasons.INITIALIZING,
                reasons.STARTING,
                *_BY_EVENTS,  # remembered, where an event may have expired
            }
        ),
        _BY_EVENTS,
    ),
    _Doubt(
        "node",  # it may be lost, and the pod's own word that of before
        frozenset(
            {
                reasons.STARTING,
                reasons.INITIALIZING,
                reasons.BLOCKED,
                reasons.IMAGE_UNAVAILABLE,
                reasons.NO_CONTROLLER,
            }
        ),
    ),
)
_LOST: Final = _Doubt("support", None, frozenset({reasons.CLAIM_LOST}))
_PINNED: Final = _Doubt("support", frozenset({reasons.ACCEPTED}), frozenset({reasons.EDIT_IGNORED}))
_SPEAKS: Final = _Doubt(
    "node",  # without its node's clock nobody can say that a container is silent
    frozenset({reasons.PREPARING, reasons.LOADING, reasons.TRAINING, reasons.FINISHING}),
    frozenset({reasons.SILENT}),
)
_PREP_LOG: Final = (
    _Doubt(
        "log",
        frozenset({reasons.PREPARING}),
        frozenset({reasons.WAITING_FOR_RUN, reasons.SILENT}),
    ),
    _Doubt("log", frozenset({reasons.RETRYING, reasons.STOPPING, reasons.FAILED})),
)


def unread_since(
    previous: Status, unread: Mapping[Part, str], now: datetime
) -> tuple[UnreadStatus, ...]:
    """What could not be read, each with the time of the first failure in a row."""
    before = {each.what: each for each in previous.unread or ()}
    return tuple(_renewed(part, said, before.get(part), now) for part, said in unread.items())


def keep_known(
    evidence: Evidence,
    judged: Mapping[str, Judged],
    unread: Sequence[UnreadStatus],
    now: datetime,
) -> dict[str, Judged]:
    """The conditions, where they depend on what is unread as they were before.

    Args:
        evidence: what was read.
        judged: the conditions by that alone, as if there were nothing else.
        unread: what was not read.
        now: the current time.
    """
    notes = {each.what: f"{_SINCE}{each.since}: {each.message}" for each in unread}
    known = {
        type_: _known(type_, evidence, each, notes) if notes else _still(type_, evidence, each)
        for type_, each in judged.items()
    }
    if judged[CONDITION_FAILED].is_true and _may_still_be_read("log", unread, now):
        # A verdict is for good, and the log may have the trainer's own last word on it.
        ends = [type_ for type_, each in judged.items() if each.reason == reasons.FAILED]
        for type_ in {*ends, CONDITION_FAILED, CONDITION_COMPLETE}:
            if known[type_].reason != judged[type_].reason:
                continue  # held back already, because of what else is unread
            before = find_condition(evidence.run.status, type_)
            nothing = unknown(reasons.UNREADABLE, _NOTHING + notes["log"])
            known[type_] = _kept(before, notes["log"]) if before else nothing
    return known


def is_eta_unknown(evidence: Evidence, judged: Mapping[str, Judged]) -> bool:
    """Whether the time left must be taken from the earlier status."""
    training = evidence.training
    silent = training is not None and training.status is None
    kept = silent and judged[CONDITION_RUNNING].reason in _BY_LOG
    # A node is asked only of a container that has been quiet.
    return kept or not evidence.seen.unread.keys().isdisjoint((*_WORKLOADS, "pods", "log", "node"))


def _may_still_be_read(part: Part, unread: Sequence[UnreadStatus], now: datetime) -> bool:
    """Whether it is unread for so short a time that it is worth waiting for."""
    since = [past_time(each.since, now) for each in unread if each.what == part]
    return any(moment is not None and now - moment < _LAST_WORD for moment in since)


def _renewed(part: Part, said: str, before: UnreadStatus | None, now: datetime) -> UnreadStatus:
    if before is None or past_time(before.since, now) is None:
        return UnreadStatus(what=part, since=time_text(now), message=said)
    message = before.message if _is_same_but_for_numbers(before.message, said) else said
    return UnreadStatus(what=part, since=before.since, message=message)


def _known(type_: str, evidence: Evidence, judged: Judged, notes: Mapping[str, str]) -> Judged:
    """One condition where something is unread."""
    before = find_condition(evidence.run.status, type_)
    for part in _deciding(type_, evidence, judged):
        if part in notes:
            if before is None or _is_outdated(before, evidence):
                return unknown(reasons.UNREADABLE, _NOTHING + notes[part])
            return _kept(before, notes[part])
    for doubt in _doubts(type_, evidence, judged):
        if doubt.part in notes and (doubt.judged is None or judged.reason in doubt.judged):
            known = _still(type_, evidence, judged)  # what it would be if that were read
            return _explained(known, before, doubt, notes[doubt.part])
    return _still(type_, evidence, judged)


def _explained(judged: Judged, before: Condition | None, doubt: _Doubt, note: str) -> Judged:
    """A condition of which the status is certain, and the reason is not."""
    if before is not None and before.status == judged.status:
        stands = doubt.earlier is None or before.reason in doubt.earlier
        if stands or (doubt.instead and before.reason == reasons.UNREADABLE):
            return _kept(before, note)
    if doubt.instead:
        return Judged(judged.status, reasons.UNREADABLE, doubt.instead + note)
    return Judged(judged.status, judged.reason, judged.message + note)


def _is_outdated(before: Condition, evidence: Evidence) -> bool:
    """Whether an earlier condition refers to another one that has changed."""
    if before.reason == reasons.WAITING_FOR_DATA:
        return evidence.prepared
    accepted = find_condition(evidence.run.status, CONDITION_ACCEPTED)
    was_invalid = accepted is not None and accepted.reason == reasons.INVALID_SPEC
    says_so = before.reason in (reasons.INVALID_SPEC, reasons.NOT_ACCEPTED)
    return says_so and was_invalid and not evidence.run.violations


def _still(type_: str, evidence: Evidence, judged: Judged) -> Judged:
    """One condition where all it depends on was read; what says nothing new changes nothing."""
    before = find_condition(evidence.run.status, type_)
    if before is None or before.status != judged.status:
        return judged
    # A rotated log, one full of other lines and that of a pod that is being deleted say nothing.
    if type_ == CONDITION_RUNNING and judged.reason == reasons.LOADING:
        pod = evidence.seen.training.pod if evidence.seen.training else None
        if pod and before.reason in _BY_LOG and is_pod_of(evidence.run.status, pod):
            return _kept(before)
    is_refused_again = judged.reason == before.reason == reasons.REFUSED
    if is_refused_again and _is_same_but_for_numbers(judged.message, before.message):
        return _kept(before)
    return judged


def _deciding(type_: str, evidence: Evidence, judged: Judged) -> tuple[Part, ...]:
    """The parts of which one that is unread leaves open whether the condition holds."""
    training = evidence.seen.training
    if type_ == CONDITION_ACCEPTED:
        if judged.reason == reasons.INVALID_SPEC:
            return ("training",)  # today's spec counts only while there is no training workload
        is_certain = judged.status == "False" or _was(evidence, type_) == "True"
        return () if is_certain else (*_WORKLOADS, "support")
    if type_ == CONDITION_PREPARED and evidence.prepared:
        return ()
    workloads: tuple[Part, ...] = ("training",) if evidence.prepared else _WORKLOADS
    if _reason_was(evidence, type_) == reasons.NODE_LOST != judged.reason:
        workloads = (*workloads, "node")  # until it is seen again, it is lost
    if type_ == CONDITION_COMPLETE and training is not None and training.verdict == "succeeded":
        return (*workloads, "pods")  # one that is not over may still write the model
    if type_ == CONDITION_FAILED:
        child = training if evidence.prepared else evidence.seen.prep
        return (*workloads, "pods") if child and child.verdict == "failed" else workloads
    # The pods of one that has succeeded may be deleted: it says enough itself.
    has_pods = evidence.prepared and training is not None and training.verdict != "succeeded"
    if has_pods and type_ in (CONDITION_SCHEDULED, CONDITION_RUNNING):
        return (*workloads, "pods")
    return workloads


def _doubts(type_: str, evidence: Evidence, judged: Judged) -> tuple[_Doubt, ...]:
    """What the parts that say no more than why leave open."""
    if type_ == CONDITION_FAILED:
        return (_Doubt("log", None),) if judged.is_true else ()
    if type_ == CONDITION_ACCEPTED:
        return (_PINNED,) if _reason_was(evidence, type_) == reasons.EDIT_IGNORED else ()
    if type_ == CONDITION_RUNNING and evidence.prepared:
        return (*_at_work(evidence), *_waits(evidence, type_))
    is_prep = type_ == CONDITION_PREPARED and not evidence.prepared
    if not is_prep and not (type_ == CONDITION_SCHEDULED and evidence.prepared):
        return ()
    workload = evidence.seen.prep if is_prep else evidence.seen.training
    if workload is None:
        standing = _UNBEGUN | {
            reasons.NOT_ACCEPTED,
            reasons.CLAIM_MISMATCH,
            reasons.CLAIM_NOT_ALLOWED,
            reasons.CLAIM_LOST,
            reasons.POD_REMAINS,
        }
        nothing = "nothing is created beside what cannot be read"
        return tuple(_Doubt(each, _UNBEGUN, standing, nothing) for each in ("pods", "support"))
    if not is_prep:
        return _waits(evidence, type_)
    pods = f"{workload.name} is there, and nothing is known of its pods"
    return (_Doubt("pods", None, None, pods), *_PREP_LOG, _SPEAKS, *_waits(evidence, type_))


def _waits(evidence: Evidence, type_: str) -> tuple[_Doubt, ...]:
    return (_LOST, *_WAITS) if _reason_was(evidence, type_) == reasons.CLAIM_LOST else _WAITS


def _at_work(evidence: Evidence) -> tuple[_Doubt, ...]:
    training = evidence.seen.training
    pod = training.pod if training else None
    if pod is None:
        return ()
    same = is_pod_of(evidence.run.status, pod)
    earlier = frozenset({reasons.LOADING, reasons.SILENT, *_BY_LOG} if same else ())
    runs = f"{pod.name} runs on node {pod.node}, and its log has not been read"
    return (_Doubt("log", frozenset({reasons.LOADING}), earlier, runs), _SPEAKS)


def _reason_was(evidence: Evidence, type_: str) -> str:
    before = find_condition(evidence.run.status, type_)
    return before.reason if before else ""


def _was(evidence: Evidence, type_: str) -> str:
    before = find_condition(evidence.run.status, type_)
    return before.status if before else ""


def _kept(before: Condition, note: str = "") -> Judged:
    known = before.message.partition(_SINCE)[0]
    return Judged(before.status, before.reason, f"{known}{note}")


def _is_same_but_for_numbers(one: str, other: str) -> bool:
    """A port, a number of seconds or a request's id in an error is no news."""
    return _DIGITS.sub("0", one) == _DIGITS.sub("0", other)
