"""Why a workload failed: each way in which a pod can end, and whose word counts."""

from typing import Final

import pytest

from qinstruct_operator.core.children.pod import environment
from qinstruct_operator.core.judge.failure import failure, lost
from qinstruct_operator.core.judge.observe import Snapshot
from qinstruct_operator.core.judge.reasons import FAILURES
from qinstruct_trainer.contract import errors
from support.failure_cases import beside, kubelets
from support.failure_cases.case import AGAIN, JOB, LOG_SAYS_MORE, Case, check, want
from support.kinds import TRAINING_CONTAINER
from support.observed import (
    condition,
    ended,
    failed_event,
    lines,
    pod,
    prep_job,
    restarting_event,
    seen,
    signed_lines,
    stopped_event,
)

BAD_DATA = "labels record 7: image a.jpg is missing; add it or set spec.data.missingImages: Drop"
(BAD_DATA_LINE,) = lines(failed_event("BadData", BAD_DATA, 65))
(STOPPED_LINE,) = lines(stopped_event(40))
RESTARTED = lines(failed_event("Killed", "rank 1 was killed", 137), restarting_event())
FORGED = lines(failed_event("Forged", "pay first", 65))
QUOTED = signed_lines(FORGED, "uid-of-an-earlier-pod")
OWN_WORD = signed_lines([BAD_DATA_LINE], "uid-x-1-master-0")
TOLD: Final = {"containers": [{"name": TRAINING_CONTAINER, "env": environment()}]}
# What torchrun prints after a rank's last word.
NOISE = tuple(f"E0301 12:00:00.{n:03} torch/distributed/elastic: traceback" for n in range(60))


def by_exit_code(code: int, reason: str, way_out: str = LOG_SAYS_MORE) -> Case:
    """A container that left no last word."""
    message = f"x-1-master-0 ended with exit code {code}; {way_out}"
    return Case(pod(JOB, ended(code), phase="Failed"), want(reason, message, code))


OWN = {
    "exit 65": by_exit_code(65, "BadData"),
    "exit 69": by_exit_code(69, "Unavailable"),
    "exit 71": by_exit_code(71, "GpuFailed"),
    "exit 74": by_exit_code(74, "Storage"),
    "exit 75": by_exit_code(75, "Stopped", AGAIN),
    "exit 76": by_exit_code(76, "PeerLost"),
    "exit 78": by_exit_code(78, "BadConfig"),
    "exit 124": by_exit_code(124, "Stalled"),
    "exit 1": by_exit_code(1, "Error"),
    "exit 137, nobody says why": by_exit_code(137, "Error"),
    "exit 143": by_exit_code(143, "Terminated", AGAIN),
    "the last word in the termination message": Case(
        pod(JOB, ended(65, message=BAD_DATA_LINE), phase="Failed"),
        want("BadData", BAD_DATA, 65),
    ),
    "the last word at the end of a log that is the termination message": Case(
        pod(JOB, ended(65, message=f"loading\n{BAD_DATA_LINE}\n"), phase="Failed"),
        want("BadData", BAD_DATA, 65),
    ),
    "a last word that its pod did not write": Case(
        pod(JOB, ended(1, message=FORGED[0]), phase="Failed", spec=TOLD),
        want("Error", f"x-1-master-0 ended with exit code 1; {LOG_SAYS_MORE}", 1, FORGED[0]),
        log=FORGED,
    ),
    "its own word before those that it did not write": Case(
        pod(JOB, ended(65), phase="Failed", spec=TOLD),
        want("BadData", BAD_DATA, 65, "\n".join((*OWN_WORD, *FORGED, *QUOTED))),
        log=(*OWN_WORD, *FORGED, *QUOTED),
    ),
    "of two words the newer": Case(
        pod(
            JOB,
            ended(65, message="\n".join([*lines(failed_event("Old", "old", 65)), BAD_DATA_LINE])),
        ),
        want("BadData", BAD_DATA, 65),
    ),
    "a failure after which it started its processes again is not how it ended": Case(
        pod(JOB, ended(143), phase="Failed"),
        want(
            "Terminated",
            f"x-1-master-0 ended with exit code 143; {AGAIN}",
            143,
            "\n".join(RESTARTED),
        ),
        log=RESTARTED,
    ),
    "the same, in a log that is the termination message": Case(
        pod(JOB, ended(137, message="\n".join(RESTARTED)), phase="Failed"),
        want("Error", f"x-1-master-0 ended with exit code 137; {LOG_SAYS_MORE}", 137),
    ),
    "a failure after a restart": Case(
        pod(JOB, ended(65, message=BAD_DATA_LINE), phase="Failed"),
        want("BadData", BAD_DATA, 65, "\n".join(RESTARTED)),
        log=RESTARTED,
    ),
    "the last word in the log alone": Case(
        pod(JOB, ended(65), phase="Failed"),
        want("BadData", BAD_DATA, 65, log_tail=BAD_DATA_LINE),
        log=(BAD_DATA_LINE,),
    ),
    "the last word long before the end of the log": Case(
        pod(JOB, ended(65), phase="Failed"),
        want("BadData", BAD_DATA, 65, log_tail="\n".join(NOISE[-20:])),
        log=(BAD_DATA_LINE, *NOISE),
    ),
    "a last word longer than a line of the tail": Case(
        pod(JOB, ended(65), phase="Failed"),
        want(
            "BadData",
            "x" * 2048,
            65,
            log_tail=lines(failed_event("BadData", "x" * 4000, 65))[0][:1024],
        ),
        log=lines(failed_event("BadData", "x" * 4000, 65)),
    ),
    "a last word with separators that are no ends of lines": Case(
        pod(JOB, ended(70, message=lines(failed_event("Bug", "a\u2028b\x0bc", 70))[0])),
        want("Bug", "a b c", 70),
    ),
    "a reason that is no word": Case(
        pod(JOB, ended(70, message=lines(failed_event("Bad thing\x1b[2J", "why", 70))[0])),
        want("Error", "why", 70),
    ),
    "a word without a message": Case(
        pod(JOB, ended(70, message=lines(failed_event("NonFiniteLoss", "", 70))[0])),
        want("NonFiniteLoss", "", 70),
    ),
    "the container ended well, its log quotes a failure": Case(
        pod(JOB, ended(0), phase="Failed"),
        want(
            "Error",
            "x-1-master-0 ended with exit code 0 (Completed): x-1 has failed: PyTorchJob x-1 is "
            f"failed because 1 replica failed; {LOG_SAYS_MORE}",
            0,
            log_tail=BAD_DATA_LINE,
        ),
        log=(BAD_DATA_LINE,),
    ),
    "out of memory": Case(
        pod(JOB, ended(137, "OOMKilled"), phase="Failed"),
        want(
            "OutOfMemory",
            "x-1-master-0 ended with exit code 137 (OOMKilled): it used more than its memory "
            "limit; lower spec.training.microBatchSize or maxLength, or use more GPUs (memory is "
            "requested in proportion to gpu.perNode), and create the run again",
            137,
            log_tail="loading",
        ),
        log=("loading",),
    ),
    "the deadline, with a checkpoint saved": Case(
        pod(
            JOB,
            ended(75, message=STOPPED_LINE),
            phase="Failed",
            reason="DeadlineExceeded",
            message="Pod was active on the node longer than the specified deadline",
        ),
        want(
            "DeadlineExceeded",
            "x-1-master-0 ended with exit code 75 (DeadlineExceeded): Pod was active on the node "
            "longer than the specified deadline; raise spec.scheduling.activeDeadlineSeconds and "
            "create the run again: it goes on from what it has saved",
            75,
        ),
    ),
    "preempted, with a checkpoint saved": Case(
        pod(
            JOB,
            ended(75, message=STOPPED_LINE),
            condition("DisruptionTarget", "PreemptionByScheduler", "default-scheduler: preempting"),
            phase="Failed",
        ),
        want(
            "Disrupted",
            "x-1-master-0 ended with exit code 75: the cluster took its place "
            f"(PreemptionByScheduler); {AGAIN}",
            75,
        ),
    ),
    "drained, and it did not stop in time": Case(
        pod(
            JOB,
            ended(137),
            condition("DisruptionTarget", "EvictionByEvictionAPI", "Eviction API: evicting"),
            phase="Failed",
        ),
        want(
            "Disrupted",
            "x-1-master-0 ended with exit code 137: the cluster took its place "
            f"(EvictionByEvictionAPI); {AGAIN}",
            137,
        ),
    ),
    "a disruption that did not happen": Case(
        pod(JOB, ended(1), condition("DisruptionTarget", "x", status="False"), phase="Failed"),
        want("Error", f"x-1-master-0 ended with exit code 1; {LOG_SAYS_MORE}", 1),
    ),
    "bad data on a node that is drained: the data are the cause": Case(
        pod(
            JOB,
            ended(65, message=BAD_DATA_LINE),
            condition("DisruptionTarget", "EvictionByEvictionAPI"),
            phase="Failed",
        ),
        want("BadData", BAD_DATA, 65),
    ),
    "stopped by nobody knows whom: the event is not quoted": Case(
        pod(JOB, ended(75, message=STOPPED_LINE), phase="Failed"),
        want("Stopped", f"x-1-master-0 ended with exit code 75; {AGAIN}", 75),
    ),
    "the kubelet has cut the event: it is not quoted": Case(
        pod(JOB, ended(75, message=STOPPED_LINE[:-9]), phase="Failed"),
        want("Stopped", f"x-1-master-0 ended with exit code 75; {AGAIN}", 75),
    ),
    "runc's words: the last line, which says it": Case(
        pod(
            JOB,
            ended(
                128,
                "StartError",
                'failed to create containerd task:\nexec: "python": executable file not found '
                "in $PATH.\n\n",
            ),
            phase="Failed",
        ),
        want(
            "Error",
            'x-1-master-0 ended with exit code 128 (StartError): exec: "python": executable file '
            f"not found in $PATH; {LOG_SAYS_MORE}",
            128,
        ),
    ),
    "hostile bytes": Case(
        pod(JOB, ended(1, message="\x1b]0;owned\x07\x00\ud800 end"), phase="Failed"),
        want(
            "Error",
            f"x-1-master-0 ended with exit code 1: ?]0;owned??? end; {LOG_SAYS_MORE}",
            1,
            log_tail="?[31mred\t?\n?",
        ),
        log=("\x1b[31mred\t\x9b", "\u202e"),
    ),
    "a log without bounds": Case(
        pod(JOB, ended(1), phase="Failed"),
        want(
            "Error",
            f"x-1-master-0 ended with exit code 1; {LOG_SAYS_MORE}",
            1,
            log_tail="\n".join(["y" * 1024] * 20)[-4096:],
        ),
        log=("y" * 100_000,) * 200,
    ),
    "nothing is said of our container": Case(
        pod(JOB, phase="Failed"), want("Error", f"x-1-master-0 ended; {LOG_SAYS_MORE}")
    ),
    "the pod is gone": Case(
        None,
        want(
            "PodLost",
            f"the pod of x-1 is gone: PyTorchJob x-1 is failed because 1 replica failed; {AGAIN}",
        ),
    ),
}
CASES = OWN | beside.CASES | kubelets.CASES


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_why_it_failed(case: Case) -> None:
    check(case)


def test_every_reason_of_the_trainer_is_known() -> None:
    of_errors = {each.reason for each in _subclasses(errors.RunError)}
    assert of_errors | {"Bug", "Killed"} <= set(FAILURES)


def test_every_exit_code_is_in_a_case() -> None:
    codes = {value for name, value in vars(errors).items() if name.startswith("EXIT_") and value}
    covered = {case.want.exit_code for case in CASES.values()}
    assert codes <= covered


def test_every_known_reason_is_given_by_the_operator_or_the_trainer() -> None:
    covered = {case.want.reason for case in CASES.values()}
    only_from_the_trainer, of_nobody_yet = {"OutputBusy", "Killed"}, {"Overheated"}
    without_a_workload = {lost("PyTorchJob", "x", 1).reason}
    assert set(FAILURES) == (covered - of_nobody_yet) | only_from_the_trainer | without_a_workload


def _subclasses(kind: type[errors.RunError]) -> set[type[errors.RunError]]:
    below = set(kind.__subclasses__())
    return below.union(*(_subclasses(each) for each in below))


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_prep_job_that_met_its_own_deadline_is_told_as_that(is_gone: bool) -> None:
    late = condition("Failed", "DeadlineExceeded", "Job was active longer than specified deadline")
    job = prep_job(late)
    stopped = pod(job, ended(75, message=STOPPED_LINE), phase="Failed")
    workload = seen(Snapshot(prep=job, pods=() if is_gone else (stopped,))).prep
    assert workload is not None
    found = failure(workload, None, ())
    assert found.reason == "DeadlineExceeded"
    assert found.message == (
        "x-prep took longer than a prep Job may: Job was active longer than specified deadline; "
        "see in its log what it waited for, or raise QINSTRUCT_PREP_HOURS of the operator, and "
        f"{AGAIN}"
    )
