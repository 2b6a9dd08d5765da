"""Draw runs of a cluster: a table of many, everything known of one, or a line. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from qinstruct_operator.api.status import (
    Condition,
    FailureStatus,
    PrepStatus,
    RecoveryStatus,
    SourceStatus,
    Status,
)
from qinstruct_operator.cli.cluster.runs import ClusterRun, RunDetail
from qinstruct_operator.cli.humanize import FROM_CACHE, amount_text
from qinstruct_operator.cli.tables import table, titled
from qinstruct_operator.cli.terminal import sanitize, sanitize_lines, sanitized_text
from qinstruct_operator.constants import (
    CONDITION_ACCEPTED,
    CONDITION_FAILED,
    CONDITION_PREPARED,
)
from qinstruct_operator.core.condition_list import is_finished, is_true
from qinstruct_operator.core.judge.goodput import HELD
from qinstruct_operator.core.judge.progress import eta_text, restarts_text
from qinstruct_operator.core.times import parse_time
from qinstruct_operator.core.untyped_json import Raw, last_seen

_NO_PHASE = "not seen yet"  # no operator has written a status
_TAIL_LINES = 20
_EVENTS = 10
_BAR_WIDTH = 40
_COLUMNS = ("name", "size", "strategy", "phase", "progress", "ETA", "attempt", "queue", "age")
_CONDITION_COLUMNS = ("type", "status", "reason", "message", "age")
_SOURCE_COLUMNS = ("source", "state", "fetched", "ETA")
_FAILURE_COLUMNS = (
    "attempt", "kind", "reason", "exit code", "age", "step", "steps lost", "node"
)  # fmt: skip
_EVENT_COLUMNS = ("age", "type", "reason", "message")
_BAD = {(CONDITION_FAILED, "True"), (CONDITION_ACCEPTED, "False")}
_STYLES = {"True": "green", "False": "dim", "Unknown": "yellow"}


def runs_table(runs: Sequence[ClusterRun], now: datetime, *, namespaces: bool) -> Table:
    """One line a run, by namespace and name."""
    rows = []
    for run in sorted(runs, key=lambda run: (run.namespace, run.name)):
        status = run.status
        cells = (
            *((run.namespace,) if namespaces else ()),
            run.name,
            run.size,
            run.strategy,
            _phase(run),
            sanitize(status.progress or ""),
            sanitize(status.eta or ""),
            str(status.attempt or ""),
            sanitize(status.queue or ""),
            _age(run.created, now),
        )
        rows.append(cells)
    return table((*(("namespace",) if namespaces else ()), *_COLUMNS), rows)


def run_detail(detail: RunDetail, now: datetime, *, bar: bool) -> Group:
    """Everything known of one run; `bar`: draw its progress too, for a terminal."""
    run, status = detail.run, detail.run.status
    recipe = (("size", run.size), ("strategy", run.strategy))
    kind = ", ".join(f"{name} {value}" for name, value in recipe if value)
    parts: list[RenderableType] = [
        Text(f"{run.name} in namespace {run.namespace}: {kind or 'unknown recipe'}", style="bold"),
        titled("State", table((), _state(run, now))),
    ]
    if bar and not is_finished(status) and (drawn := _bar(status)):
        parts.append(drawn)
    if rows := [*_progress(status, now), *_storage(detail)]:
        parts.append(titled("Progress and storage", table((), rows)))
    if status.prep and status.prep.sources and not is_true(status, CONDITION_PREPARED):
        parts.append(titled("Sources", table(_SOURCE_COLUMNS, _sources(status.prep))))
    if status.conditions:
        parts.append(titled("Conditions", table(_CONDITION_COLUMNS, _conditions(status, now))))
    if status.recovery and status.recovery.failures:
        rows_of = _failures(status.recovery, now)
        parts.append(titled("Failed attempts", table(_FAILURE_COLUMNS, rows_of)))
    if status.failure:
        parts.append(titled("Failure", _failure(status.failure)))
    if detail.events:
        parts.append(titled("Events", table(_EVENT_COLUMNS, _events(detail.events, now))))
    parts += [Text(f"\nnote: {sanitize(note)}") for note in detail.notes]
    return Group(*parts)


def _phase(run: ClusterRun) -> str:
    """The status's phase, and whether the run is being deleted."""
    phase = sanitize(run.status.phase or "") or _NO_PHASE
    return f"{phase}, being deleted" if run.is_deleted else phase


def summary_line(run: ClusterRun) -> str:
    """The state in one line, for output that is no terminal."""
    status = run.status
    parts = [f"{run.namespace}/{run.name}: {_phase(run)}"]
    parts += [sanitize(status.progress)] if status.progress else []
    parts += [f"ETA {sanitize(status.eta)}"] if status.eta else []
    parts += [text for name, text in _work(status) if name != "preparation"][:1]
    return "  ".join(parts)


def _age(since: datetime | None, now: datetime) -> str:
    """How long ago; empty where that is unknown."""
    return "" if since is None else eta_text((now - since).total_seconds()) or ""


def _state(run: ClusterRun, now: datetime) -> Iterator[tuple[str, str]]:
    status = run.status
    yield "phase", _phase(run)
    if status.progress:
        left = f", {sanitize(status.eta)} left" if status.eta else ""
        yield "progress", sanitize(status.progress) + left
    for name, value in (
        ("attempt", status.attempt),
        ("queue", status.queue),
        ("node", status.node),
        ("GPU-hours", f"{status.gpu_hours:.1f}" if status.gpu_hours else None),
    ):
        if value:
            yield name, sanitize(str(value))
    yield from _goodput(status)
    if status.recovery:
        yield from _recovery(status.recovery, now, status.phase == "Suspended")
    yield "created", f"{_age(run.created, now)} ago" if run.created else "unknown"


def _goodput(status: Status) -> Iterator[tuple[str, str]]:
    """Which part of the GPU-hours was productive, and what the others were."""
    if (seconds := status.gpu_seconds) is None:
        return
    hours = {bucket: getattr(seconds, bucket) / 3600 for bucket in HELD}
    parts = ", ".join(f"{value:.1f} {bucket}" for bucket, value in hours.items() if value >= 0.05)
    if status.goodput:
        yield "goodput", sanitize(status.goodput) + (f" (GPU-hours: {parts})" if parts else "")
    if seconds.queued:
        yield "queued", f"{seconds.queued / 3600:.1f} GPU-hours of waiting for GPUs"


def _recovery(
    recovery: RecoveryStatus, now: datetime, is_suspended: bool
) -> Iterator[tuple[str, str]]:
    yield (
        "failed attempts",
        f"{recovery.retries} by failures that may pass, {recovery.disruptions} disturbed",
    )
    begins = parse_time(recovery.next_attempt_time or "")
    if begins and not is_suspended:  # then it waits beyond that time
        yield "next attempt", f"in {eta_text((begins - now).total_seconds())}"


def _failures(recovery: RecoveryStatus, now: datetime) -> Iterator[tuple[str, ...]]:
    for each in recovery.failures:
        numbers = (each.exit_code, each.step, each.lost_steps)
        exit_code, step, lost = ("" if number is None else f"{number:,}" for number in numbers)
        yield (
            str(each.attempt),
            each.kind,
            sanitize(each.reason),
            exit_code,
            _age(parse_time(each.time), now),
            step,
            lost,
            sanitize(each.node or ""),
        )


def _bar(status: Status) -> ProgressBar | None:
    """Progress of training, or before it of the stage that preparation is in."""
    done, total = None, None
    if status.training:
        done, total = status.training.step, status.training.steps
    elif status.prep:
        done, total = status.prep.done, status.prep.total
    if done is None or not total:
        return None
    return ProgressBar(total=total, completed=min(done, total), width=_BAR_WIDTH)


def _work(status: Status) -> Iterator[tuple[str, str]]:
    if status.prep:
        yield "preparation", _prep(status.prep)
    training = status.training
    if training is not None and training.step is not None:
        parts = [f"step {training.step:,}" + (f" of {training.steps:,}" if training.steps else "")]
        parts += [f"loss {training.loss:.4f}"] if training.loss is not None else []
        rates = (
            (training.samples_per_second, "samples/s"),
            (training.tokens_per_second, "tokens/s"),
        )
        parts += [f"{rate:,.1f} {unit}" for rate, unit in rates if rate is not None]
        parts += [text] if (text := restarts_text(training)) else []
        yield "training", "  ".join(parts)


def _progress(status: Status, now: datetime) -> Iterator[tuple[str, str]]:
    yield from _work(status)
    if status.checkpoint:
        saved = status.checkpoint
        yield "checkpoint", f"after step {saved.step:,}, {_age(parse_time(saved.time), now)} ago"


def _prep(prep: PrepStatus) -> str:
    work = sanitize(" ".join(part for part in (prep.stage, prep.item) if part))
    if prep.waiting_for:
        return f"{work}: waiting for run {sanitize(prep.waiting_for)}, which is building it"
    if prep.done is None:
        return work
    return f"{work}: {sanitize(amount_text(prep.done, prep.total, prep.unit or 'pieces'))}"


def _sources(prep: PrepStatus) -> Iterator[tuple[str, ...]]:
    """A row for each, and one for their downloads where the sizes of all are known."""
    rows = prep.sources or ()
    for each in rows:
        state = FROM_CACHE if each.state == "Cached" else each.state.lower()
        yield sanitize(each.name), sanitize(state), _fetched(each), sanitize(each.eta or "")
    fetched = [each for each in rows if each.state == "Waiting" or each.done is not None]
    if len(fetched) > 1 and all(each.unit == "bytes" and each.total for each in fetched):
        done = sum(each.done or 0 for each in fetched)
        total = sum(each.total or 0 for each in fetched)
        amount = amount_text(done, total, "bytes")
        yield "all downloads", "", amount, sanitize(prep.downloads_eta or "")


def _fetched(source: SourceStatus) -> str:
    done, total = source.done, source.total
    if done is None:
        if source.state != "Waiting" or total is None:
            return ""
        done = 0
    return sanitize(amount_text(done, None if done == total else total, source.unit or "pieces"))


def _storage(detail: RunDetail) -> Iterator[tuple[str, str]]:
    for name, phase in detail.claims.items():
        yield "claim", sanitize(f"{name} ({phase})" if phase else name)
    if detail.run.status.model:
        yield "model", sanitize(detail.run.status.model)


def _conditions(status: Status, now: datetime) -> Iterator[tuple[str | Text, ...]]:
    for each in status.conditions:
        yield (
            sanitize(each.type),
            Text(each.status, style=_style(each)),
            sanitize(each.reason),
            sanitize_lines(each.message),
            _age(parse_time(each.last_transition_time), now),
        )


def _style(condition: Condition) -> str:
    is_bad = (condition.type, condition.status) in _BAD
    return "red" if is_bad else _STYLES[condition.status]


def _failure(failure: FailureStatus) -> Group:
    rows = [("reason", sanitize(failure.reason))]
    rows += [("attempt", str(failure.attempt))] if failure.attempt else []
    rows += [("exit code", str(failure.exit_code))] if failure.exit_code is not None else []
    rows += [("message", sanitize_lines(failure.message))] if failure.message else []
    parts: list[RenderableType] = [table((), rows)]
    if failure.log_tail:
        tail = failure.log_tail.splitlines()[-_TAIL_LINES:]
        parts.append(Text("the last lines of its log:", style="dim"))
        parts += [Text(f"  {sanitize(text)}") for text in tail]
    return Group(*parts)


def _events(events: Sequence[Raw], now: datetime) -> Iterator[tuple[str, ...]]:
    for event in sorted(events, key=last_seen)[-_EVENTS:]:
        count = event.get("count")
        times = f" (x{count})" if isinstance(count, int) and count > 1 else ""
        message = sanitize_lines(str(event.get("message") or ""))
        yield (
            _age(parse_time(last_seen(event)), now),
            sanitized_text(event, "type"),
            sanitized_text(event, "reason"),
            f"{message}{times}",
        )
