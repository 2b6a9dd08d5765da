"""Whether the claims that are there are those that a run asks for, and those that it has filled."""

from datetime import timedelta
from typing import Any

import pytest

from qinstruct_operator.constants import FIELD_MANAGER, GROUP, LABEL_MANAGED_BY
from qinstruct_operator.core.decide import decide
from qinstruct_operator.core.judge.claims import (
    claim_denied,
    claim_mismatch,
    content_lost,
    volume_lost,
)
from qinstruct_operator.errors import InvalidSpec
from support.observed import (
    COMPLETE,
    NOW,
    Raw,
    child,
    claim,
    deleting,
    message,
    plan,
    prep_job,
    pytorchjob,
    run_of,
    seen,
    snapshot_of,
    status_of,
)

ASKED = {"size": "600Gi", "storageClassName": "fast"}
WAYS_OUT = "; or delete the claim with all that is saved on it, or give the run another name"
ENLARGE = (
    "claim x-output was there before this run, and has 500Gi where 600Gi is asked for: enlarge it, "
    "`kubectl patch pvc x-output --namespace team --patch "
    """'{"spec":{"resources":{"requests":{"storage":"600Gi"}}}}'`"""
)
CLASS = (
    "has storage class slow, not spec.output.storageClassName fast: create the run again without "
    "that field"
)


def found(
    size: str = "600Gi",
    storage_class: str | None = "fast",
    modes: tuple[str, ...] = ("ReadWriteMany",),
    capacity: str | None = None,
) -> Raw:
    spec: dict[str, Any] = {"resources": {"requests": {"storage": size}}, "accessModes": [*modes]}
    spec |= {"storageClassName": storage_class} if storage_class else {}
    status = {"phase": "Bound"} | ({"capacity": {"storage": capacity}} if capacity else {})
    return claim() | {"spec": spec, "status": status}


CASES: dict[str, tuple[Raw, dict[str, Any], str]] = {
    "as asked": (found(), ASKED, ""),
    "nothing is known of it": (claim(), ASKED, ""),
    "larger": (found("1Ti"), ASKED, ""),
    "in other units": (found("644245094400"), ASKED, ""),
    "the volume is larger than the claim": (found("500Gi", capacity="600Gi"), ASKED, ""),
    "being enlarged": (found("600Gi", capacity="500Gi"), ASKED, ""),
    "a size that is none": (found("many"), ASKED, ""),
    "the cluster's default class": (found(storage_class=None), ASKED, ""),
    "any class will do": (found(storage_class="slow"), {"size": "600Gi"}, ""),
    "smaller": (found("500Gi", capacity="500Gi"), ASKED, ENLARGE + WAYS_OUT),
    "another class": (
        found(storage_class="slow"),
        ASKED,
        f"claim x-output was there before this run, and {CLASS}{WAYS_OUT}",
    ),
    "another access mode": (
        found(modes=("ReadWriteOnce",)),
        ASKED,
        "claim x-output was there before this run, and has access mode ReadWriteOnce, not "
        "ReadWriteMany, which prep and training on different nodes need: create the run again "
        f"with this claim's name as spec.output.claimName to use it as it is{WAYS_OUT}",
    ),
    "all at once": (
        found("500Gi", "slow"),
        ASKED,
        f"{ENLARGE}, and {CLASS}{WAYS_OUT}",
    ),
}


@pytest.mark.parametrize(("raw", "output", "want"), CASES.values(), ids=CASES)
def test_what_is_wrong_with_it(raw: Raw, output: dict[str, Any], want: str) -> None:
    run = run_of(made=plan(output=output))
    assert claim_mismatch(run, seen(snapshot_of(claims={"x-output": raw}))) == want


def test_a_size_that_follows_from_the_run_counts_too() -> None:
    small = seen(snapshot_of(claims={"x-output": found("1Gi", None)}))
    assert "has 1Gi where" in claim_mismatch(run_of(), small)


def test_claims_that_are_not_the_runs_own_are_left_alone() -> None:
    claims = {"mine": found("1Gi", "slow", ("ReadWriteOnce",)), "qinstruct-cache": found("1Gi")}
    observed = seen(snapshot_of(claims=claims))
    assert claim_mismatch(run_of(made=plan(output={"claimName": "mine"})), observed) == ""
    assert claim_mismatch(run_of(), seen(snapshot_of())) == ""


def labelled(name: str, **labels: str) -> dict[str, Raw]:
    """A claim with these labels alone; `qinstruct.dev/` goes before each."""
    raw = child("PersistentVolumeClaim", name, owner=None, ours=False)
    raw["metadata"]["labels"] = {
        LABEL_MANAGED_BY if key == "by" else f"{GROUP}/{key}": value
        for key, value in labels.items()
    }
    return {name: raw}


UNSAID = (
    "claim db is not said to be for runs, and anything may be on it; if runs may {may}, `kubectl "
    "label pvc db --namespace team qinstruct.dev/use={use}`, else name another claim"
)
NO_CACHE = UNSAID.format(may="fill it with data that all runs of the namespace share", use="cache")
NO_OUTPUT = UNSAID.format(may="write checkpoints and the model to it", use="output")
OTHERS = "claim db is the output of run y; name another claim"
OURS = {"by": FIELD_MANAGER}
DENIED: dict[str, tuple[str, dict[str, str], str]] = {
    "a database as cache": ("data", {}, NO_CACHE),
    "a database as output": ("output", {}, NO_OUTPUT),
    "an output that may be none but a cache": ("output", {"use": "cache"}, NO_OUTPUT),
    "a cache that may be none but an output": ("data", {"use": "output"}, NO_CACHE),
    "a word that is none": ("data", {"use": "yes"}, NO_CACHE),
    "said to be a cache": ("data", {"use": "cache"}, ""),
    "said to be an output": ("output", {"use": "output"}, ""),
    "another run's output as cache": ("data", {**OURS, "run": "y"}, OTHERS),
    "another run's output as output": ("output", {**OURS, "run": "y"}, OTHERS),
    "another run's output, whatever else it says": (
        "output",
        {**OURS, "run": "y", "use": "output"},
        OTHERS,
    ),
    "its own output as cache": (
        "data",
        {**OURS, "run": "x", "use": "cache"},
        "claim db is the output of run x; name another claim",
    ),
    "its own output under another name": ("output", {**OURS, "run": "x"}, ""),
    "an output that has lost its run's label, as cache": ("data", OURS, NO_CACHE),
    **{
        f"{use!r} spelled otherwise": (group, {"use": use}, unsaid)
        for use, group, unsaid in (
            ("Cache", "data", NO_CACHE),
            ("CACHE", "data", NO_CACHE),
            (" cache", "data", NO_CACHE),
            ("cache\n", "data", NO_CACHE),
            ("cache,output", "data", NO_CACHE),
            ("c\u0430che", "data", NO_CACHE),
            ("", "data", NO_CACHE),
            ("Output", "output", NO_OUTPUT),
            ("output.cache", "output", NO_OUTPUT),
            ("true", "output", NO_OUTPUT),
        )
    },
    "a maker spelled otherwise": ("output", {"by": "Qinstruct-operator", "run": "x"}, NO_OUTPUT),
    "the run's name spelled otherwise": (
        "output",
        {**OURS, "run": "X"},
        "claim db is the output of run X; name another claim",
    ),
    "a run's name that would be another line": (
        "output",
        {**OURS, "run": "x\nclaim y is fine"},
        "claim db is the output of run x claim y is fine; name another claim",
    ),
    "such a cache as output": ("output", OURS, NO_OUTPUT),
    "the run's name and no maker": ("output", {"run": "x"}, NO_OUTPUT),
}


@pytest.mark.parametrize(("group", "labels", "want"), DENIED.values(), ids=DENIED)
def test_a_claim_is_used_only_for_what_it_is_said_to_be(
    group: str, labels: dict[str, str], want: str
) -> None:
    run = run_of(made=plan(**{group: {"claimName": "db"}}))
    observed = seen(snapshot_of(claims=labelled("db", **labels)))
    assert claim_denied(run, observed) == want
    due = [one.child.component for one in decide(run, observed, NOW)]
    assert ("prep" in due) == (want == "")


@pytest.mark.parametrize("name", ["x-output", "qinstruct-cache"])
def test_a_claim_of_a_default_name_is_taken_only_if_a_run_made_it(name: str) -> None:
    assert f"claim {name} is not said" in claim_denied(
        run_of(), seen(snapshot_of(claims=labelled(name)))
    )
    assert claim_denied(run_of(), seen(snapshot_of(claims=CLAIMS))) == ""
    assert claim_denied(run_of(), seen(snapshot_of())) == ""


@pytest.mark.parametrize("name", ["qinstruct-cache", "qinstruct-cache-tiny"])
def test_a_cache_that_an_operator_made_is_one_under_its_own_names_alone(name: str) -> None:
    observed = seen(snapshot_of(claims=labelled(name, **OURS)))
    assert claim_denied(run_of(made=plan(data={"claimName": name})), observed) == ""
    with pytest.raises(InvalidSpec, match=f"{name}: is the claim of the cache"):
        plan(output={"claimName": name})


@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": None},
        {"labels": ["qinstruct.dev/use"]},
        {"labels": "qinstruct.dev/use=output"},
        {"labels": {"qinstruct.dev/use": ["output"]}},
        {"labels": {"qinstruct.dev/use": True}},
        {"labels": {"qinstruct.dev/Use": "output"}},
        {"labels": {"use": "output"}},
        {"labels": {"qinstruct.dev.evil.example/use": "output"}},
        {"annotations": {"qinstruct.dev/use": "output"}},
        {"labels": {"qinstruct.dev": {"use": "output"}}},
    ],
    ids=str,
)
def test_nothing_but_the_label_gives_a_claim_to_runs(metadata: dict[str, Any]) -> None:
    raw = labelled("db")["db"]
    raw["metadata"] = {"name": "db", "namespace": "team", "uid": "u"} | metadata
    run = run_of(made=plan(output={"claimName": "db"}))
    assert claim_denied(run, seen(snapshot_of(claims={"db": raw}))) == NO_OUTPUT


@pytest.mark.parametrize("name", ["y-output", "x-1-output", "x"])
def test_a_claim_that_another_run_has_yet_to_make_is_not_waited_for(name: str) -> None:
    """It would be that run's output, or the cache, as soon as it is there."""
    run = run_of(made=plan(output={"claimName": name}))
    observed = seen(snapshot_of(claims={name: None}))
    assert claim_denied(run, observed).startswith(f"claim {name} is not there in namespace team")
    assert decide(run, observed, NOW) == ()


def test_a_label_that_is_removed_under_way_keeps_training_from_being_made() -> None:
    run = run_of(PREPARED, made=plan(output={"claimName": "db"}))
    given = snapshot_of(prep=DONE, claims=labelled("db", use="output") | CACHE)
    assert [one.child.component for one in decide(run, seen(given), NOW)][-1] == "train"
    for labels in ({}, {"use": "cache"}, {**OURS, "run": "y"}):
        taken = snapshot_of(prep=DONE, claims=labelled("db", **labels) | CACHE)
        assert decide(run, seen(taken), NOW) == ()
        assert claim_denied(run, seen(taken))


def test_a_claim_of_a_run_that_is_being_deleted_is_still_its_own() -> None:
    going = labelled("db", **OURS, run="y")
    going["db"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    run = run_of(made=plan(output={"claimName": "db"}))
    observed = seen(snapshot_of(claims=going))
    assert claim_denied(run, observed) == OTHERS
    assert decide(run, observed, NOW) == ()


DONE = prep_job(COMPLETE)
CACHE = {"qinstruct-cache": claim("qinstruct-cache")}
PREPARED = status_of(snapshot_of(prep=DONE))  # at NOW
CLAIMS = {"qinstruct-cache": claim("qinstruct-cache"), "x-output": claim()}
LOST = (
    ", and what preparation or training had saved on it is lost; no GPU is asked for, and no empty "
    "claim is made in its place; delete the run and create it again: preparation fetches what is "
    "missing, and training goes on from the newest checkpoint that is still there"
)
NO_VOLUME = (
    "claim x-output has lost its volume, which somebody deleted; restore the volume from a backup, "
    "or delete the claim and the run, and create the run again"
)


def made_at(name: str, minutes: float) -> Raw:
    when = (NOW + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
    raw = claim(name)
    return raw | {"metadata": raw["metadata"] | {"creationTimestamp": when}}


FILLED: dict[str, tuple[dict[str, Raw | None], str]] = {
    "as they were": ({}, ""),
    "gone": ({"x-output": None}, f"claim x-output is gone{LOST}"),
    "the cache": ({"qinstruct-cache": None}, f"claim qinstruct-cache is gone{LOST}"),
    "both": (
        {"qinstruct-cache": None, "x-output": None},
        f"claim qinstruct-cache is gone, and claim x-output is gone{LOST}",
    ),
    "going": (
        {"x-output": deleting(claim(), 1, 0)},
        f"claim x-output is being deleted since 2026-03-01T11:59:00Z{LOST}",
    ),
    "made anew, as by another run": (
        {"qinstruct-cache": made_at("qinstruct-cache", 6)},
        f"claim qinstruct-cache was made anew at 2026-03-01T12:06:00Z, after preparation{LOST}",
    ),
    "made just before the end of a short preparation, by a clock that is ahead": (
        {"x-output": made_at("x-output", 4)},
        "",
    ),
    "without its volume": ({"x-output": claim(phase="Lost")}, NO_VOLUME),
}


@pytest.mark.parametrize(("changed", "want"), FILLED.values(), ids=FILLED)
def test_what_a_prepared_run_has_lost(changed: dict[str, Raw | None], want: str) -> None:
    """Before training is made, while it waits, and when it is due again."""
    claims = CLAIMS | changed
    begun = PREPARED.model_copy(update={"attempt": 1})
    for status, there in (
        (PREPARED, snapshot_of(claims=claims)),
        (PREPARED, snapshot_of(claims=claims, training=pytorchjob())),
        (begun, snapshot_of(claims=claims)),
    ):
        assert content_lost(run_of(status), seen(there)) == want
        judged = status_of(there, status)
        assert (message(judged, "Scheduled") == want) == bool(want)
        assert (judged.phase == "ClaimLost") == bool(want)


@pytest.mark.parametrize("name", ["gone", "the cache", "both", "going"])
def test_what_is_filled_by_prep_is_not_lost_before(name: str) -> None:
    claims = CLAIMS | FILLED[name][0]
    for there in (snapshot_of(claims=claims), snapshot_of(claims=claims, prep=prep_job())):
        assert content_lost(run_of(), seen(there)) == ""


def test_a_job_that_has_succeeded_is_word_enough() -> None:
    there = snapshot_of(prep=DONE, claims=CLAIMS | {"x-output": None})
    assert content_lost(run_of(), seen(there)) == f"claim x-output is gone{LOST}"


def test_a_claim_without_its_volume_also_stops_prep() -> None:
    there = snapshot_of(claims={"x-output": claim(phase="Lost")}, prep=prep_job())
    assert volume_lost(seen(there)) == NO_VOLUME
    assert message(status_of(there), "Prepared") == NO_VOLUME
    assert volume_lost(seen(snapshot_of(claims=CLAIMS))) == ""


def test_a_claim_that_cannot_be_read_is_not_gone() -> None:
    unread = {"unread": {"support": "get claim x-output: forbidden"}}
    for there in (
        snapshot_of(claims=CLAIMS | {"x-output": None}, **unread),
        snapshot_of(claims=CLAIMS | {"x-output": None}, training=pytorchjob(), **unread),
    ):
        assert content_lost(run_of(PREPARED), seen(there)) == ""
        assert status_of(there, PREPARED).phase != "ClaimLost"


def test_what_is_lost_stays_lost_while_claims_cannot_be_read() -> None:
    lost = snapshot_of(claims=CLAIMS | {"x-output": None}, training=pytorchjob())
    before = status_of(lost, PREPARED)
    unread = snapshot_of(training=pytorchjob(), unread={"support": "claims are forbidden"})
    after = status_of(unread, before)
    assert after.phase == "ClaimLost"
    assert message(after, "Scheduled").startswith("claim x-output is gone")
