"""Which words of a kubelet are known; `support.failure_cases` has what is said of each."""

import pytest

from qinstruct_operator.core.judge.kubelet_words import WORDS, meaning_of
from qinstruct_operator.core.judge.pods import Pod, read_pod
from support.failure_cases.kubelets import KUBELETS
from support.observed import ended, pod, pytorchjob, waiting


def of(reason: str, state: dict[str, object] | None = None) -> Pod:
    return read_pod(pod(pytorchjob(), state, phase="Failed", reason=reason))


def test_every_word_has_a_case() -> None:
    assert WORDS.keys() <= {word for word, *_ in KUBELETS} | {"Evicted"}


@pytest.mark.parametrize("state", [waiting(), ended(1)])
def test_a_word_that_nobody_knows_refuses_only_what_never_had_a_container(
    state: dict[str, object],
) -> None:
    assert meaning_of(of("OutOfpods", state)) is None
    assert meaning_of(of("NewWord", state)) is None
    assert meaning_of(of("NewWord")) is not None


@pytest.mark.parametrize("reason", ["", "DeadlineExceeded"])
def test_what_no_kubelet_refused(reason: str) -> None:
    assert meaning_of(of(reason)) is None
