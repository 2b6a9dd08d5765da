from collections.abc import Callable
from pathlib import Path

import pytest

from qinstruct_trainer.train.checkpoint.verify import verified_manifest
from support.checkpoints import IDENTITY, RANKS, write_checkpoints


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_checkpoints(tmp_path, 7)
    return tmp_path / "checkpoints" / "step-00000007"


def test_an_intact_checkpoint_is_verified(folder: Path) -> None:
    manifest = verified_manifest(folder, RANKS)
    assert manifest is not None
    assert (manifest.step, manifest.identity) == (7, IDENTITY)


def _flip(folder: Path) -> None:
    path = folder / "rng-00000.pt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _truncate(folder: Path) -> None:
    path = folder / "rng-00000.pt"
    path.write_bytes(path.read_bytes()[:-1])


def _garble_manifest(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text()[:-20])


def _rename(folder: Path) -> None:
    (folder / "latest").rename(folder / "newest")


def _swap(folder: Path) -> None:
    text, latest = folder / "state" / "text", folder / "latest"
    text.rename(folder / "swap")
    latest.rename(text)
    (folder / "swap").rename(latest)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "one bit of a file is wrong": _flip,
    "a file is cut": _truncate,
    "a file is empty": lambda folder: (folder / "latest").write_bytes(b""),
    "a file is missing": lambda folder: (folder / "state" / "text").unlink(),
    "a file is renamed": _rename,
    "two files are swapped": _swap,
    "a file is there that nobody wrote": lambda folder: (folder / "more").touch(),
    "the manifest is missing": lambda folder: (folder / "manifest.json").unlink(),
    "the manifest is cut": _garble_manifest,
    "the manifest is another document": lambda folder: (folder / "manifest.json").write_text("{}"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_is_found(damage: Callable[[Path], object], folder: Path) -> None:
    damage(folder)
    assert verified_manifest(folder, RANKS) is None
