"""Observe: turn one snapshot of the cluster into what is known of a run's children. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, Self

from qinstruct_operator.constants import FIELD_MANAGER, LABEL_MANAGED_BY, LABEL_RUN, LABEL_USE
from qinstruct_operator.core import names
from qinstruct_operator.core.attempts import NOTHING, Spent
from qinstruct_operator.core.children import Child, ChildId
from qinstruct_operator.core.judge.made_from import (
    MadeFrom,
    attempt_of,
    image_for_training,
    made_from,
)
from qinstruct_operator.core.judge.node import Node, read_node
from qinstruct_operator.core.judge.pods import Pod, deleted_at, newest_pod, read_pod
from qinstruct_operator.core.judge.workloads import (
    JOB_CONDITIONS,
    Workload,
    read_workload,
    warnings_about,
)
from qinstruct_operator.core.pin import Pin, read_pin
from qinstruct_operator.core.run import Run
from qinstruct_operator.core.times import parse_time
from qinstruct_operator.core.untyped_json import Raw, at, is_controlled_by, objects, text
from qinstruct_operator.kinds import CLAIM, CONFIG_MAP, JOB
from qinstruct_trainer.contract.safe_text import one_line

Part = Literal["prep", "training", "pods", "support", "log", "events", "node"]
"""What a pass reads of a run; each can fail by itself."""


@dataclass(frozen=True)
class Snapshot:
    """The raw objects that were read in one pass; None where one does not exist.

    Attributes:
        support: what must exist before the workloads, as far as it was read.
        events: events about the children, newest last.
        log: last lines of the container that runs, or ran last.
        unread: what could not be read, with the server's sentence; it is None or empty above,
            and unknown.
        node: that of the newest pod, none where it is gone; None where it was not read.
        old_nodes: those of the pods that no workload controls, as far as they were read; None where
            one is gone.
        in_the_way: what has the name of the next attempt, and is not the run's own.
    """

    prep: Raw | None = None
    training: Raw | None = None
    support: Mapping[ChildId, Raw | None] = field(default_factory=dict)
    pods: tuple[Raw, ...] = ()
    events: tuple[Raw, ...] = ()
    log: tuple[str, ...] = ()
    unread: Mapping[Part, str] = field(default_factory=dict)
    node: tuple[Raw, ...] | None = None
    old_nodes: Mapping[str, Raw | None] = field(default_factory=dict)
    in_the_way: Raw | None = None

    def with_patched(self, raw: Raw) -> Self:
        """A copy with a workload that was just patched, as the server returned it."""
        is_prep = raw["kind"] == JOB.kind
        return replace(self, prep=raw) if is_prep else replace(self, training=raw)

    def with_created(self, child: Child, raw: Raw) -> Self:
        """A copy with a child that was just written, as the server returned it."""
        if child.component == "prep":
            return replace(self, prep=raw)
        if child.component == "train":
            # What was read of the attempt before says nothing of this one.
            return replace(self, training=raw, events=(), log=(), node=None)
        return replace(self, support={**self.support, child.id: raw})


@dataclass(frozen=True)
class Claim:
    """A volume claim that exists.

    Attributes:
        sizes: what it asks for, and what it has.
        created: RFC 3339.
        deleted: since when it is being deleted; None where it is not.
        is_ours: whether an operator made it.
        made_for: the run whose output it is; empty for a cache, and for the user's own.
        use: what somebody lets runs use it as, `cache` or `output`.
    """

    phase: str
    warnings: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()
    storage_class: str = ""
    access_modes: tuple[str, ...] = ()
    created: str = ""
    deleted: datetime | None = None
    is_ours: bool = False
    made_for: str = ""
    use: str = ""


@dataclass(frozen=True)
class Observed:
    """Everything seen of a run at one moment.

    Attributes:
        attempt: which one the training workload is; without one, which was the last, or is due if
            there was none.
        is_gone: whether there was one, and no workload of it is left.
        spent: what the training workload says that the attempts before it have used up.
        support: what exists of what the workloads need first.
        claims: the volume claims among it, by name.
        absent_claims: names of those that were looked for and are not there.
        leftovers: children of an earlier run of the same name, to be garbage-collected.
        taken: children's names that foreign objects have, as `kind name`.
        old_pods: pods of the run's name beside the newest of each workload above, that have not
            ended or have the name of a pod that is to come.
        pin: what the ConfigMap says that the children are made from; None where it was not read.
        made: what the training workload was made from.
        image: of that; before there is one, what the prep Job says; empty where neither does.
        refused: the cluster's refusal of a child; empty where it accepted all.
        log: last lines of the container that runs, or ran last.
        unread: what could not be read, with the server's sentence; it is None or empty above,
            and unknown.
        node: that of the newest pod; None where it was not read.
        old_nodes: those of the old pods, as far as they were read.
    """

    prep: Workload | None = None
    training: Workload | None = None
    attempt: int = 1
    is_gone: bool = False
    spent: Spent = NOTHING
    support: frozenset[ChildId] = frozenset()
    claims: Mapping[str, Claim] = field(default_factory=dict)
    absent_claims: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()
    old_pods: tuple[Pod, ...] = ()
    pin: Pin | None = None
    made: MadeFrom | None = None
    image: str = ""
    refused: str = ""
    log: tuple[str, ...] = ()
    unread: Mapping[Part, str] = field(default_factory=dict)
    node: Node | None = None
    old_nodes: Mapping[str, Node] = field(default_factory=dict)

    @property
    def may_hide_children(self) -> bool:
        """Whether a child or a pod may be there that was not read."""
        return self.may_hide_workloads or "support" in self.unread

    @property
    def may_hide_workloads(self) -> bool:
        """Whether a workload or a pod may be there that was not read."""
        return not self.unread.keys().isdisjoint(("prep", "training", "pods"))

    @property
    def is_training_unread(self) -> bool:
        """Whether the training workload or its pod may be there and was not read."""
        return not self.unread.keys().isdisjoint(("training", "pods"))

    def is_prepared(self, run: Run) -> bool:
        """Whether the children show it, or else the status says it, which a person may edit.

        A training workload is created only after preparation.
        """
        if self.training is not None:
            return True
        return run.was_prepared if self.prep is None else self.prep.verdict == "succeeded"

    def has_attempt_ended(self, run: Run) -> bool:
        """Whether the present attempt has failed, or all that there was of it is gone."""
        if self.training is not None:
            is_over = self.training.verdict == "failed" and self.training.is_over
            return is_over and not self.is_training_unread
        is_seen = not (self.may_hide_children or self.leftovers or self.taken or self.old_pods)
        return is_seen and self.is_gone and self.is_prepared(run)


def observe(run: Run, snapshot: Snapshot) -> Observed:
    """What a snapshot says about a run."""
    support = {id_: raw for id_, raw in snapshot.support.items() if raw}
    claims = {id_: raw for id_, raw in support.items() if id_[0] == CLAIM}
    # A claim without a controller is retained data, and may be used again.
    others = [raw for id_, raw in support.items() if id_ not in claims]
    found = [raw for raw in (*others, snapshot.prep, snapshot.training, snapshot.in_the_way) if raw]
    own = [raw for raw in found if is_controlled_by(raw, run.uid)]
    leftovers = [
        raw
        for raw in (*found, *claims.values())
        if _was_made_by_us(raw, run) and not is_controlled_by(raw, run.uid)
    ]
    taken = [raw for raw in found if raw not in own and raw not in leftovers]
    prep = snapshot.prep if snapshot.prep in own else None
    training = snapshot.training if snapshot.training in own else None
    types, pods, events = run.backend.conditions, snapshot.pods, snapshot.events
    made = made_from(training, run.backend) if training else None
    last = last_attempt(run, pods)
    attempt = (training and attempt_of(training)) or max(run.attempt, last)
    is_gone = training is None and (run.is_pinned or last > 0)
    return Observed(
        prep=read_workload(prep, JOB_CONDITIONS, pods, events) if prep else None,
        attempt=attempt,
        is_gone=is_gone,
        spent=Spent.of_workload(training) if training else NOTHING,
        training=read_workload(training, types, pods, events) if training else None,
        support=frozenset(id_ for id_, raw in support.items() if id_ in claims or raw in own),
        claims={name: _claim(raw, events) for (_, name), raw in claims.items()},
        absent_claims=tuple(
            name
            for (kind, name), raw in snapshot.support.items()
            if kind == CLAIM and raw is None and "support" not in snapshot.unread
        ),
        leftovers=_names(leftovers),
        taken=_names(taken),
        pin=_pin(run, own),
        made=made,
        image=made.image if made else image_for_training(prep) if prep else "",
        old_pods=_old_pods(run, pods, prep, training, attempt + (training is not None or is_gone)),
        log=snapshot.log,
        unread=snapshot.unread,
        node=None if snapshot.node is None else read_node(snapshot.node),
        old_nodes={
            name: read_node((raw,) if raw else ()) for name, raw in snapshot.old_nodes.items()
        },
    )


def _claim(raw: Raw, events: Iterable[Raw]) -> Claim:
    asked = text(raw, "spec", "resources", "requests", "storage")
    sizes = (asked, text(raw, "status", "capacity", "storage"))
    modes = at(raw, "spec", "accessModes")
    return Claim(
        text(raw, "status", "phase"),
        warnings_about([raw], events),
        sizes=tuple(size for size in sizes if size),
        storage_class=text(raw, "spec", "storageClassName"),
        access_modes=tuple(map(str, modes)) if isinstance(modes, list) else (),
        created=text(raw, "metadata", "creationTimestamp"),
        deleted=deleted_at(raw),
        is_ours=text(raw, "metadata", "labels", LABEL_MANAGED_BY) == FIELD_MANAGER,
        made_for=one_line(text(raw, "metadata", "labels", LABEL_RUN)),
        use=text(raw, "metadata", "labels", LABEL_USE),
    )


def _pin(run: Run, own: Iterable[Raw]) -> Pin | None:
    """What the run's own ConfigMap keeps; that of an earlier run says nothing of this one."""
    name = names.config_name(run.name)
    configs = [raw for raw in own if raw.get("kind", CONFIG_MAP.kind) == CONFIG_MAP.kind]
    found = next((raw for raw in configs if raw["metadata"]["name"] == name), None)
    return read_pin(found) if found else None


def last_attempt(run: Run, pods: Iterable[Raw]) -> int:
    """The last attempt that status and pods tell of; 0: of none.

    Pods of before the run were another's of its name.
    """
    since = run.created
    made = (
        (attempt_of(pod), parse_time(text(pod, "metadata", "creationTimestamp"))) for pod in pods
    )
    tried = (n for n, when in made if n and since and when and when >= since)
    return max((run.status.attempt or 0, *tried))


def _old_pods(
    run: Run, pods: Sequence[Raw], prep: Raw | None, training: Raw | None, due: int
) -> tuple[Pod, ...]:
    """A pod is found by the run's label alone: its owner may be gone, or another run's.

    Args:
        run: whose pods these are.
        pods: all that have its label.
        prep: its prep Job, where that is there.
        training: its training workload, where that is there.
        due: the attempt to come.
    """
    newest = newest_pod(training, pods) if training else None
    left = [
        (read_pod(raw), training is not None and is_controlled_by(raw, training["metadata"]["uid"]))
        for raw in pods
        if raw is not newest and not (prep and is_controlled_by(raw, prep["metadata"]["uid"]))
    ]
    to_come = f"{run.name}-{due}-"
    return tuple(
        pod
        for pod, is_own in left
        if not pod.is_over or (not is_own and pod.name.startswith(to_come))
    )


def _was_made_by_us(raw: Raw, run: Run) -> bool:
    manager, made_for = (
        text(raw, "metadata", "labels", label) for label in (LABEL_MANAGED_BY, LABEL_RUN)
    )
    is_ours = manager == FIELD_MANAGER and made_for == run.name
    return is_ours and bool(objects(raw, "metadata", "ownerReferences"))


def _names(found: Iterable[Raw]) -> tuple[str, ...]:
    """As `kind name`."""
    return tuple(f"{raw.get('kind', 'object')} {raw['metadata']['name']}" for raw in found)
