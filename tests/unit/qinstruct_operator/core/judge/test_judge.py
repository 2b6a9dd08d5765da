"""The whole status in every state of a run: what is beside the conditions."""

from dataclasses import replace

import pytest

from qinstruct_operator.api.status import Status
from qinstruct_operator.core.children import build_children
from qinstruct_operator.core.judge.observe import Snapshot
from qinstruct_operator.settings import Settings
from support.observed import COMPLETE, plan, pod, prep_job, pytorchjob, running, status_of
from support.status_cases import disturbed, prep, training
from support.status_cases.case import Case

CASES = prep.CASES | training.CASES | disturbed.CASES


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_status(case: Case) -> None:
    before = status_of(case.previous) if case.previous else None
    status = status_of(case.snapshot, before, violations=case.violations, refused=case.refused)
    assert status.phase == case.phase
    for name, want in case.fields.items():
        assert (name, getattr(status, name)) == (name, want)
    assert Status.model_validate_json(status.model_dump_json()) == status


def test_a_finished_run_stays_as_it_is() -> None:
    for case in CASES.values():
        if case.phase in ("Complete", "Failed"):
            before = status_of(case.previous) if case.previous else None
            done = status_of(case.snapshot, before)
            for other in CASES.values():
                assert status_of(other.snapshot, done, refused=other.refused) == done


def test_a_run_without_gpus_uses_none() -> None:
    job = pytorchjob()
    snapshot = Snapshot(training=job, pods=(pod(job, running(10)),))
    status = status_of(snapshot, made=plan(size="Tiny", strategy="mix"))
    assert (status.phase, status.gpu_hours) == ("Loading", None)


def test_the_queue_is_the_planned_one() -> None:
    queued = plan(scheduling={"queueName": "gpus"})
    assert status_of(Snapshot(), made=queued).queue == "gpus"
    installed = replace(plan(), settings=Settings(default_queue="all"))
    assert status_of(Snapshot(), made=installed).queue == "all"
    named = replace(queued, settings=installed.settings)
    assert status_of(Snapshot(), made=named).queue == "gpus"


def test_the_image_is_that_which_goes_with_the_prepared_data() -> None:
    job = prep_job()
    says = {"annotations": {"qinstruct.dev/trainer-image": "first:1\n"}}
    job |= {"metadata": job["metadata"] | says}
    status = status_of(Snapshot(prep=job))
    assert status.image == "first:1"
    gone = status_of(Snapshot(prep=prep_job(COMPLETE)), status)
    assert gone.image == "first:1"
    spec = build_children(plan()).training.manifest["spec"]
    made = status_of(Snapshot(training=pytorchjob() | {"spec": spec}), gone)
    assert made.image == Settings().trainer_image
