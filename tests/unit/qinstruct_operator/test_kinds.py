"""What a URL needs of a kind."""

from qinstruct_operator.kinds import JOB, KINDS, POD


def test_the_core_has_no_group() -> None:
    assert (POD.group, POD.version) == ("", "v1")
    assert (JOB.group, JOB.version) == ("batch", "v1")


def test_a_kind_is_found_by_what_an_object_says_of_itself() -> None:
    assert KINDS["batch/v1", "Job"] is JOB
    assert all((kind.api_version, kind.kind) == key for key, kind in KINDS.items())
