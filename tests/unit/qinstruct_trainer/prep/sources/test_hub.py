"""Models from a hub: a real client against a real server on the loopback."""

from pathlib import Path

import pytest

from qinstruct_trainer.contract.errors import (
    DataError,
    RunError,
    StorageError,
    UnavailableError,
)
from qinstruct_trainer.prep.sources.hub import Place, resolve
from support.prep.hub_server import Hub, serve

REPOSITORY = "lmsys/vicuna-7b-v1.5"
FILES = {
    "config.json": b"{}",
    "tokenizer.model": b"pieces",
    "tokenizer_config.json": b"{ }",
    "pytorch_model-00001-of-00001.bin": b"torch weights",
    "pytorch_model.bin.index.json": b'{"weight_map": {}}',
    "modeling_evil.py": b"import os",
    "optimizer.pt": b"state",
    "tf_model.h5": b"other weights",
}
NEEDED = set(FILES) - {"modeling_evil.py", "optimizer.pt", "tf_model.h5"}


def test_a_repository_is_fetched_without_code_and_other_weights(tmp_path: Path) -> None:
    with serve(Hub(REPOSITORY, dict(FILES))) as hub:
        folder = resolve(REPOSITORY, None, Place(tmp_path, endpoint=hub.url))
        assert {path.name for path in folder.iterdir()} == NEEDED
        assert {name: (folder / name).read_bytes() for name in NEEDED} == {
            name: FILES[name] for name in NEEDED
        }
        assert set(hub.requested) == NEEDED
        hub.requested.clear()
        resolve(REPOSITORY, None, Place(tmp_path, endpoint=hub.url))
        assert not hub.requested


def test_safetensors_are_preferred_to_pickles(tmp_path: Path) -> None:
    files = {**FILES, "model.safetensors": b"weights"}
    with serve(Hub(REPOSITORY, files)) as hub:
        folder = resolve(REPOSITORY, None, Place(tmp_path, endpoint=hub.url))
        names = {path.name for path in folder.iterdir()}
        assert "model.safetensors" in names
        assert not any(name.startswith("pytorch_model") for name in names)


ACCOUNT = (
    r"give a token of an account that may read it by data\.tokenSecretRef "
    r"\(with `qinstruct run`: HF_TOKEN in the environment\)$"
)
GATED = r" is gated: accept its licence on the hub, then " + ACCOUNT
PRIVATE = r" is not on the hub, or private; correct model\.base, or " + ACCOUNT


@pytest.mark.parametrize(
    ("refuse", "words"),
    [
        ((403, "GatedRepo"), GATED),
        ((401, "GatedRepo"), GATED),
        ((401, "RepoNotFound"), PRIVATE),
        ((404, "RepoNotFound"), PRIVATE),
        ((403, ""), r" cannot be fetched from the hub \(.*403.*\); " + ACCOUNT),
        ((401, ""), r" cannot be fetched from the hub \(.*401.*\); " + ACCOUNT),
        ((410, ""), r" cannot be fetched from the hub \(.*410.*\); run again later$"),
    ],
)
def test_a_refusal_is_a_sentence(refuse: tuple[int, str], words: str, tmp_path: Path) -> None:
    with (
        serve(Hub(REPOSITORY, {}, refuse=refuse)) as hub,
        pytest.raises(UnavailableError, match=words) as caught,
    ):
        resolve(REPOSITORY, None, Place(tmp_path, endpoint=hub.url))
    assert str(caught.value).startswith(REPOSITORY)
    assert "\n" not in str(caught.value)


def test_an_unknown_revision_is_named(tmp_path: Path) -> None:
    with (
        serve(Hub(REPOSITORY, dict(FILES))) as hub,
        pytest.raises(
            UnavailableError,
            match=r"^lmsys/vicuna-7b-v1\.5 has no revision v9; correct model\.revision$",
        ),
    ):
        resolve(REPOSITORY, "v9", Place(tmp_path, endpoint=hub.url))


def test_a_hub_that_is_down_is_a_sentence(tmp_path: Path) -> None:
    with serve(Hub(REPOSITORY, {})) as hub:
        closed = hub.url
    way_out = "set model.base to a local folder, or run again with a network"
    sentence = f"^{REPOSITORY} cannot be fetched, the hub cannot be reached; {way_out}$"
    with pytest.raises(UnavailableError, match=sentence):
        resolve(REPOSITORY, None, Place(tmp_path, endpoint=closed))


def test_a_download_that_cannot_be_stored_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    downloads = tmp_path / "file" / "downloads"
    with (
        serve(Hub(REPOSITORY, dict(FILES))) as hub,
        pytest.raises(StorageError) as caught,
    ):
        resolve(REPOSITORY, None, Place(downloads, endpoint=hub.url))
    assert str(caught.value) == (
        f"{REPOSITORY} cannot be stored (Not a directory); the download needs room and a writable "
        f"{downloads}, run again to go on with it"
    )


def test_a_file_that_the_hub_lists_but_does_not_give_is_noticed(tmp_path: Path) -> None:
    with (
        serve(Hub(REPOSITORY, dict(FILES), lost={"tokenizer.model"})) as hub,
        pytest.raises(RunError) as caught,
    ):
        resolve(REPOSITORY, None, Place(tmp_path, endpoint=hub.url))
    assert isinstance(caught.value, UnavailableError | DataError)
    assert "\n" not in str(caught.value)
