"""Addresses of the hub's files, beside huggingface_hub's own reading of them."""

import pytest
from huggingface_hub import hf_hub_url
from huggingface_hub.utils._hf_uris import parse_hf_uri

from qinstruct_trainer.contract.hub_files import HubFile, at_revision, is_commit, parse_hub_url

GOOD = [
    "hf://datasets/q-future/Q-Instruct-DB/cleaned_labels.json",
    "hf://datasets/q-future/Q-Instruct-DB@46c87ef/cleaned_labels.json",
    "hf://datasets/me/set@v1.0/a/b/images-00.tar",
    "hf://datasets/me/set@refs/pr/7/labels.json",
    "hf://datasets/me/set@refs/convert/parquet/labels.json",
    "hf://datasets/me/set@a%2Fbranch/labels.json",
    "hf://me/model/images.tar",
    "hf://me/model@main/images.tar",
]


@pytest.mark.parametrize("url", GOOD)
def test_a_file_is_what_the_hubs_own_library_takes_it_for(url: str) -> None:
    file = parse_hub_url(url)
    theirs = parse_hf_uri(url)
    assert file is not None
    assert (file.repository, file.path, file.revision) == (
        theirs.id,
        theirs.path_in_repo,
        theirs.revision,
    )
    assert theirs.type == ("dataset" if file.of_data_set else "model")
    expected = hf_hub_url(
        file.repository, file.path, repo_type=theirs.type, revision=file.revision, endpoint="x:"
    )
    assert f"x:{file.address}" == expected


def test_blanks_are_written_as_in_any_address() -> None:
    file = parse_hub_url("hf://datasets/me/set/my%20files/100%25.tar")
    assert file == HubFile("me/set", "my files/100%.tar")
    assert file.address == "/datasets/me/set/resolve/main/my%20files/100%25.tar"


@pytest.mark.parametrize(
    "url",
    [
        "hf://",
        "hf://datasets/me/set",
        "hf://datasets/me/set/",
        "hf://datasets/me/set@/file",
        "hf://datasets/me",
        "hf://spaces/me/app/file",
        "hf://buckets/me/b/file",
        "hf://datasets/me/set/../../other/set/resolve/main/file",
        "hf://datasets/me/set/a/%2e%2e/file",
        "hf://datasets/me/set//file",
        "hf://datasets/me/set/file?download=true",
        "hf://datasets/me/set/file#part",
        "hf://datasets/me/set/a b",
        "hf://datasets/me/set/a%0ab",
        "hf://datasets/../set/file",
        "hf://me:s3cret@datasets/me/set/file",
        "https://huggingface.co/datasets/me/set/resolve/main/file",
        "HF://datasets/me/set/file",
    ],
)
def test_anything_else_is_none(url: str) -> None:
    assert parse_hub_url(url) is None
    assert at_revision(url, "v1") == url


def test_a_revision_is_put_where_there_is_none() -> None:
    plain, pinned = GOOD[:2]
    assert at_revision(plain, "46c87ef") == pinned
    assert at_revision(pinned, "v2") == pinned


@pytest.mark.parametrize(
    ("revision", "whether"),
    [("0a" * 20, True), ("0A" * 20, False), ("0a" * 20 + "\n", False), ("46c87ef", False)]
    + [(name, False) for name in (None, "", "main", "HEAD", "v1.0", "refs/pr/7")],
)
def test_only_a_whole_commit_names_one_state(revision: str | None, *, whether: bool) -> None:
    assert is_commit(revision) == whether
