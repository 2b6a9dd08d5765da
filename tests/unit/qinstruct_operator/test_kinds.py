"""How a kind is named in URLs and in objects."""

import pytest

from qinstruct_operator.constants import PLURAL
from qinstruct_operator.kinds import CLAIM, NODE, TRAINING, Kind


@pytest.mark.parametrize(
    ("kind", "plural"),
    [
        ("Job", "jobs"),
        ("PersistentVolumeClaim", "persistentvolumeclaims"),
        ("NetworkPolicy", "networkpolicies"),
        ("Ingress", "ingresses"),
        ("JobSet", "jobsets"),
    ],
)
def test_plurals_as_the_api_server_has_them(kind: str, plural: str) -> None:
    assert Kind("v1", kind).plural == plural


def test_our_own_is_what_the_crd_says() -> None:
    assert TRAINING.plural == PLURAL
    assert (TRAINING.group, TRAINING.version) == ("qinstruct.dev", "v1alpha1")
    assert (CLAIM.group, CLAIM.version) == ("", "v1")


def test_an_object_says_its_kind() -> None:
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"namespace": "n"}}
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}
    assert (Kind.of(claim), Kind.of(node)) == (CLAIM, NODE)
