import os
import resource
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from qinstruct_trainer.contract.errors import StorageError
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


def _make_manifest_a_folder(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").mkdir()


def _empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def _call_it_another_step(folder: Path) -> None:
    """As somebody does who puts an older one back under the name of the newest."""
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"step": 7', '"step": 6'))


def _link(folder: Path) -> None:
    """To a file with the very same bytes, which somebody may change later."""
    (folder / "latest").rename(folder.parent / "latest")
    (folder / "latest").symlink_to("../latest")


def _link_a_folder(folder: Path) -> None:
    (folder / "state").rename(folder.parent / "state")
    (folder / "state").symlink_to("../state")


def _link_all(folder: Path) -> None:
    folder.rename(folder.parent / "elsewhere")
    folder.symlink_to("elsewhere")


def _endless_manifest(folder: Path) -> None:
    """Of a terabyte, all of it holes."""
    os.truncate(folder / "manifest.json", 10**12)


def _manifest(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "manifest.json").write_text(text)


_DEEP = '{"step":7,"identity":' + '{"model":' * 100_000


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
    "the manifest is of another step": _call_it_another_step,
    "the manifest is no text": lambda folder: (folder / "manifest.json").write_bytes(b"\xff\xfe"),
    "the manifest is a folder": _make_manifest_a_folder,
    "the folder is empty": _empty,
    "a file is a link": _link,
    "a folder is a link": _link_a_folder,
    "it is a link itself": _link_all,
    "there is a pipe in it": lambda folder: os.mkfifo(folder / "pipe"),
    "the manifest has no end": _endless_manifest,
    "the manifest is nested without an end": _manifest(_DEEP),
    "the manifest has a number without an end": _manifest('{"step":' + "7" * 100_000 + "}"),
    "the manifest is another document": lambda folder: (folder / "manifest.json").write_text("{}"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_is_found(damage: Callable[[Path], object], folder: Path) -> None:
    damage(folder)
    assert verified_manifest(folder, RANKS) is None


def test_folders_in_folders_without_an_end_are_damage(folder: Path) -> None:
    subprocess.run(["mkdir", "-p", "/".join("a" * 1500)], cwd=folder, check=True)
    try:
        assert verified_manifest(folder, RANKS) is None
    finally:
        subprocess.run(["rm", "-r", folder], check=True)


def test_what_cannot_be_read_now_is_not_called_damaged(folder: Path) -> None:
    """No file can be opened any more: it stands for a volume that is away."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        with pytest.raises(StorageError, match=r"step-00000007 cannot be read: Too many .* run"):
            verified_manifest(folder, RANKS)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
