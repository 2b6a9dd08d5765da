"""Every backend wraps a pod template that can be found again, and says how it ends."""

from typing import Any

import pytest

from qinstruct_operator.core.backends import BACKENDS, Backend

TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"a": "b"}},
    "spec": {"containers": [{"name": "x"}]},
}


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
def test_the_template_is_wrapped_whole(backend: Backend) -> None:
    """A backend may add what its kind demands of a pod; it takes nothing away."""
    wrapped = backend.pod_template({"spec": backend.build_spec(TEMPLATE, 8, None)})
    assert wrapped["metadata"] == TEMPLATE["metadata"]
    assert wrapped["spec"].items() >= TEMPLATE["spec"].items()


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
def test_success_and_failure_are_distinguished(backend: Backend) -> None:
    types = backend.conditions
    assert len({types.succeeded, types.failed, types.suspended}) == 3
