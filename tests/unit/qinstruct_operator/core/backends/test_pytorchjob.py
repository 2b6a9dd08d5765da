"""The PyTorchJob: one Master, no retries of its own."""

from qinstruct_operator.core.backends.pytorchjob import PYTORCHJOB


def test_one_master_that_nobody_else_starts_again() -> None:
    spec = PYTORCHJOB.build_spec({"spec": {}}, 8, None)
    assert spec["nprocPerNode"] == "8"
    assert spec["runPolicy"] == {"backoffLimit": 0, "cleanPodPolicy": "None"}
    (role,) = spec["pytorchReplicaSpecs"]
    master = spec["pytorchReplicaSpecs"][role]
    assert (role, master["replicas"], master["restartPolicy"]) == ("Master", 1, "Never")


def test_it_is_deleted_only_where_that_was_asked_for() -> None:
    policy = PYTORCHJOB.build_spec({"spec": {}}, 8, 3600)["runPolicy"]
    assert policy["ttlSecondsAfterFinished"] == 3600


def test_the_training_operator_asks_for_this_container() -> None:
    assert PYTORCHJOB.container == "pytorch"
    assert (PYTORCHJOB.kind.group, PYTORCHJOB.kind.plural) == ("kubeflow.org", "pytorchjobs")
