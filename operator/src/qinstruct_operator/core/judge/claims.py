"""Whether the claims that are there are those that the run needs, and may have. Pure.

Whoever may create a run must not get by it at any volume of the namespace: one that no run has made
is used only where its label says so.

A claim is kept when its run is deleted, and nothing of it but its size can be changed. A run of the
same name that asks for more would otherwise train on the old one, and fill it hours later. What is
on a claim after preparation, an empty one has not: none is made in its place.
"""

from collections.abc import Iterator

from qinstruct_operator.constants import CONDITION_PREPARED, LABEL_USE
from qinstruct_operator.core.condition_list import find_condition
from qinstruct_operator.core.judge.observe import Claim, Observed
from qinstruct_operator.core.names import CACHE_CLAIM, TINY_CACHE_CLAIM
from qinstruct_operator.core.plan.types import Plan
from qinstruct_operator.core.quantity import parse_quantity
from qinstruct_operator.core.run import Run
from qinstruct_operator.core.times import CLOCKS, parse_time, time_text

_MODE = "ReadWriteMany"
_MAY = {
    "cache": "fill it with data that all runs of the namespace share",
    "output": "write checkpoints and the model to it",
}


def claim_denied(run: Run, seen: Observed) -> str:
    """Which claim this run may not use, with the way out; empty where it may use all."""
    plan = run.plan
    if plan is None or run.is_pinned:
        return ""
    asked = {"cache": plan.cache_claim, "output": plan.output_claim}
    denied = (
        _denied(run.name, plan.namespace, claim.name, seen.claims[claim.name], use)
        if claim.name in seen.claims
        else _awaited(plan.namespace, claim.name, use)
        for use, claim in asked.items()
        # One that the run names is somebody's, also if it is still to be made.
        if claim.name in seen.claims or (claim.size is None and claim.name in seen.absent_claims)
    )
    return next(filter(None, denied), "")


def _awaited(namespace: str, name: str, use: str) -> str:
    return (
        f"claim {name} is not there in namespace {namespace}, and no pod waits for one that "
        "somebody may make under that name for other ends; create it with the label "
        f"{LABEL_USE}={use}, or name another"
    )


def _denied(run: str, namespace: str, name: str, claim: Claim, use: str) -> str:
    made_for = "" if use == "cache" else run
    if claim.made_for not in ("", made_for):
        return f"claim {name} is the output of run {claim.made_for}; name another claim"
    # An output that has lost its run's label is no cache: those of ours have these names alone.
    is_made_as_such = use == "output" or name in (CACHE_CLAIM, TINY_CACHE_CLAIM)
    is_own = claim.is_ours and claim.made_for == made_for and is_made_as_such
    if is_own or claim.use == use:
        return ""
    return (
        f"claim {name} is not said to be for runs, and anything may be on it; if runs may "
        f"{_MAY[use]}, `kubectl label pvc {name} --namespace {namespace} {LABEL_USE}={use}`, else "
        "name another claim"
    )


def volume_lost(seen: Observed) -> str:
    """Which claim has lost its volume, with the way out; empty where none has."""
    lost = next((name for name, claim in seen.claims.items() if claim.phase == "Lost"), None)
    if lost is None:
        return ""
    return (
        f"claim {lost} has lost its volume, which somebody deleted; restore the volume from a "
        "backup, or delete the claim and the run, and create the run again"
    )


def content_lost(run: Run, seen: Observed) -> str:
    """Which claim no longer has what the prepared run needs, with the way out; or empty."""
    if not seen.is_prepared(run):
        return ""  # preparation fills whatever claim there is
    faults = (
        *(f"claim {name} is gone" for name in seen.absent_claims),
        *filter(None, (_replaced(run, name, claim) for name, claim in seen.claims.items())),
    )
    if not faults:
        return volume_lost(seen)
    return (
        f"{', and '.join(faults)}, and what preparation or training had saved on it is lost; no "
        "GPU is asked for, and no empty claim is made in its place; delete the run and create it "
        "again: preparation fetches what is missing, and training goes on from the newest "
        "checkpoint that is still there"
    )


def _replaced(run: Run, name: str, claim: Claim) -> str:
    """That a claim is not the one of before for long; empty where it is."""
    if claim.deleted:
        return f"claim {name} is being deleted since {time_text(claim.deleted)}"
    prepared = find_condition(run.status, CONDITION_PREPARED)
    since = parse_time(prepared.last_transition_time) if prepared and run.was_prepared else None
    made = parse_time(claim.created)
    was_sane = since is not None and (run.created is None or since >= run.created)
    if since and was_sane and made and made - since > CLOCKS:
        return f"claim {name} was made anew at {time_text(made)}, after preparation"
    return ""


def claim_mismatch(run: Run, seen: Observed) -> str:
    """What is wrong with the output claim, with the way out; empty where it will do.

    The shared cache is not compared: its administrator may have made it in any way, and a claim
    that the user brings neither.
    """
    plan = run.plan
    if plan is None or plan.output_claim.size is None or run.is_pinned:
        return ""
    found = seen.claims.get(plan.output_claim.name)
    if found is None or not _was_there_before(found, run):
        return ""  # this run's own, made by an older version or with other settings
    faults = list(_faults(plan, plan.output_claim.size, found))
    if not faults:
        return ""
    return (
        f"claim {plan.output_claim.name} was there before this run, and {', and '.join(faults)}; "
        "or delete the claim with all that is saved on it, or give the run another name"
    )


def _was_there_before(claim: Claim, run: Run) -> bool:
    made, began = parse_time(claim.created), run.created
    return made is None or began is None or made < began


def _faults(plan: Plan, asked: str, found: Claim) -> Iterator[str]:
    wanted = plan.output_claim
    sizes = [size for size in found.sizes if parse_quantity(size)]
    largest = max(sizes, key=lambda size: parse_quantity(size) or 0, default="")
    if largest and (parse_quantity(largest) or 0) < (parse_quantity(asked) or 0):
        patch = f'{{"spec":{{"resources":{{"requests":{{"storage":"{asked}"}}}}}}}}'
        yield (
            f"has {largest} where {asked} is asked for: enlarge it, `kubectl patch pvc "
            f"{wanted.name} --namespace {plan.namespace} --patch '{patch}'`"
        )
    if wanted.storage_class and found.storage_class not in ("", wanted.storage_class):
        yield (
            f"has storage class {found.storage_class}, not spec.output.storageClassName "
            f"{wanted.storage_class}: create the run again without that field"
        )
    if found.access_modes and _MODE not in found.access_modes:
        yield (
            f"has access mode {', '.join(found.access_modes)}, not {_MODE}, which prep and "
            "training on different nodes need: create the run again with this claim's name as "
            "spec.output.claimName to use it as it is"
        )
