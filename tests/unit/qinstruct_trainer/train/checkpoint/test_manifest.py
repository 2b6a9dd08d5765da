import hashlib
from pathlib import Path

import pytest
from pydantic import ValidationError

from qinstruct_trainer.train.checkpoint.manifest import (
    MANIFEST,
    CheckpointManifest,
    share_of_digests,
)
from qinstruct_trainer.train.ranks import Ranks
from support.checkpoints import IDENTITY

FILES = {"latest": b"state", "state/a": b"a", "state/b": b"", "state/deep/c": b"c"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / MANIFEST).write_text("{}")
    return tmp_path


@pytest.mark.parametrize("world_size", [1, 2, 3, 7])
def test_the_ranks_together_digest_every_file_once(world_size: int, folder: Path) -> None:
    shares = [
        share_of_digests(folder, Ranks(rank=rank, local_rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    assert sum(map(len, shares)) == len(FILES)
    found = {name: digest for share in shares for name, digest in share.items()}
    assert found == {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}


def test_no_rank_has_many_more_files_than_another(folder: Path) -> None:
    sizes = [
        len(share_of_digests(folder, Ranks(rank=rank, local_rank=rank, world_size=3)))
        for rank in range(3)
    ]
    assert max(sizes) - min(sizes) <= 1


def test_a_manifest_reads_back() -> None:
    manifest = CheckpointManifest(step=7, identity=IDENTITY, files={"state/a": "ab"})
    assert CheckpointManifest.model_validate_json(manifest.model_dump_json()) == manifest


def test_a_manifest_of_a_later_version_is_refused() -> None:
    manifest = CheckpointManifest(step=7, identity=IDENTITY, files={})
    with pytest.raises(ValidationError, match="version"):
        CheckpointManifest.model_validate(manifest.model_dump() | {"version": 2})
