"""Files that cannot be read: told as what it was and about which file, never as another's fault."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from qinstruct_trainer.contract.config import ModelSource, PrepConfig, Source
from qinstruct_trainer.contract.errors import StorageError, UnavailableError
from qinstruct_trainer.prep.progress import Progress
from qinstruct_trainer.prep.run import run_prep
from qinstruct_trainer.prep.sources.hub import Place, resolve
from support.prep.examine import examine_images
from support.prep.miniature import write_miniature
from support.unprivileged import open_folder, unprivileged


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as made:
        yield made


@pytest.fixture
def closed(folder: Path) -> Iterator[Path]:
    """A folder that is closed to its owner too."""
    made = folder / "closed"
    made.mkdir(mode=0)
    yield made
    made.chmod(0o700)


def prepare(folder: Path, labels: str, images: str, model: ModelSource) -> None:
    sources = (
        Source(name="q-instruct-labels", kind="labels", url=labels),
        Source(name="q-instruct-images", kind="images", url=images),
    )
    run_prep(
        PrepConfig(
            run="run",
            cache=folder / "cache",
            output=folder / "run",
            sources=sources,
            model=model,
            max_length=512,
            seed=0,
        ),
        lambda _: None,
    )


def test_a_label_file_that_may_not_be_read(folder: Path) -> None:
    made = write_miniature(folder / "data")
    made.labels.chmod(0)
    (folder / "data").chmod(0o755)
    work = folder / "work"
    work.mkdir()
    work.chmod(0o777)
    with unprivileged(), pytest.raises(UnavailableError) as caught:
        prepare(work, f"file://{made.labels}", f"file://{made.archive}", ModelSource(kind="tiny"))

    assert str(caught.value).startswith(
        f"data.sources.q-instruct-labels.url file://{made.labels} cannot be read (Permission denied"
    )


@pytest.mark.parametrize("what", ["closed", "a pipe", "a device", "long", "nul", "a folder"])
def test_a_source_that_is_no_file_of_ours(
    what: str, tmp_path: Path, folder: Path, closed: Path
) -> None:
    made = write_miniature(tmp_path)
    os.mkfifo(folder / "pipe")
    place, reason = {
        "closed": (closed / "labels.json", "cannot be read (Permission denied"),
        "a pipe": (folder / "pipe", "is a pipe; name a "),
        "a device": (Path("/dev/zero"), "is a device; name a "),
        "long": (folder / ("x" * 300), "cannot be read (File name too long"),
        "nul": (folder / "a%00b", "does not exist"),
        "a folder": (folder, "is a folder"),
    }[what]
    work = folder / "work"
    work.mkdir()
    work.chmod(0o777)
    with unprivileged(), pytest.raises(UnavailableError) as caught:
        prepare(work, f"file://{place}", f"file://{made.archive}", ModelSource(kind="tiny"))

    assert str(caught.value).startswith(
        f"data.sources.q-instruct-labels.url file://{place} {reason}"
    )


@pytest.mark.parametrize("what", ["closed", "long", "nul", "missing"])
def test_a_model_that_is_no_folder_of_ours(what: str, folder: Path, closed: Path) -> None:
    name = {"long": "x" * 300, "nul": "a\0b", "closed": closed.name}.get(what, what)
    reason = {"closed": "cannot be read (Permission", "long": "cannot be read (File name"}
    with unprivileged(), pytest.raises(UnavailableError) as caught:
        resolve(str(folder / name), None, Place())

    assert reason.get(what, "is not there; model.base must name") in str(caught.value)


@pytest.mark.parametrize(
    "number", [errno.EIO, errno.EACCES, errno.EMFILE, errno.ESTALE, errno.ENOMEM]
)
def test_an_image_that_cannot_be_read_is_not_a_bad_image(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else `missingImages: Drop` would leave good records out."""

    def fail(path: Path, **_: object) -> None:
        raise OSError(number, os.strerror(number), str(path))

    (tmp_path / "a.jpg").touch()
    monkeypatch.setattr(Image, "open", fail)
    progress = Progress(lambda _: None, "gate", "records", "files")

    with pytest.raises(StorageError) as caught:
        examine_images(["a.jpg"], [tmp_path], progress)

    assert str(caught.value).startswith(
        f"image {tmp_path}/a.jpg cannot be read: {os.strerror(number)}; "
    )


def test_what_a_decoder_says_of_bytes_is_still_a_bad_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path, **__: object) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")  # of an offset before the start

    (tmp_path / "a.tif").touch()
    monkeypatch.setattr(Image, "open", fail)
    progress = Progress(lambda _: None, "gate", "records", "files")

    assert "does not decode" in examine_images(["a.tif"], [tmp_path], progress).faults["a.tif"]
