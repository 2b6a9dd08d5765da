"""Paths on an API server: a name can reach its own object and nothing else."""

import pytest

from qinstruct_operator.cluster.errors import NotFound
from qinstruct_operator.cluster.url_paths import api_path, field_selector, label_selector
from qinstruct_operator.kinds import JOB, NODE, POD


def test_collections_objects_and_subresources() -> None:
    assert api_path(JOB, None) == "/apis/batch/v1/jobs"
    assert api_path(JOB, "team", "x-prep") == "/apis/batch/v1/namespaces/team/jobs/x-prep"
    assert api_path(POD, "team", "x", "log") == "/api/v1/namespaces/team/pods/x/log"
    assert api_path(NODE, None, "gpu-1") == "/api/v1/nodes/gpu-1"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a%2fb", "../pods/y"])
def test_names_that_lead_elsewhere(name: str) -> None:
    with pytest.raises(NotFound, match="is not a name that an object can have"):
        api_path(POD, "team", name)
    with pytest.raises(NotFound):
        api_path(POD, name, "x")


def test_an_object_of_no_namespace_is_a_bug() -> None:
    with pytest.raises(ValueError, match="needs a namespace"):
        api_path(POD, None, "x")


def test_selectors() -> None:
    assert label_selector({"a": "b", "c": "d"}) == "a=b,c=d"
    assert field_selector({"a": "x,y", "b": "p=q\\r"}) == "a=x\\,y,b=p\\=q\\\\r"
