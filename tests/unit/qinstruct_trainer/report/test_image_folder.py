"""A wrong `--images` is one sentence, which names the right folder where it is near."""

import os
from pathlib import Path

import pytest

from qinstruct_trainer.contract.errors import ConfigError, DataError
from qinstruct_trainer.report.image_folder import check_folder, first_images, none_of_them
from qinstruct_trainer.report.read import open_dataset
from support.report import BAD, RECORDS, record, write_images, write_labels, write_prepared
from support.unprivileged import open_folder, unprivileged

IMAGES = ["spaq/good.jpg", "spaq/none.jpg"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_images(tmp_path / "root/spaq")
    (tmp_path / "other").mkdir()
    return tmp_path / "root"


def test_the_first_images_of_labels(tmp_path: Path) -> None:
    records = [BAD, *RECORDS, *[record(f"{n}.jpg", "Is it?") for n in range(200)]]
    images = first_images(open_dataset(write_labels(tmp_path / "x.json", records), tmp_path))
    assert images[:3] == ["good.jpg", "grey.png", "page.jpg"]
    assert len(images) == 100


def test_labels_that_are_damaged(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[{]")
    with pytest.raises(DataError):
        first_images(open_dataset(tmp_path / "x.json", tmp_path))


def test_an_index_names_no_images(tmp_path: Path) -> None:
    write_prepared(tmp_path)
    assert first_images(open_dataset(tmp_path / "index", None)) == []


@pytest.mark.parametrize("name", ["root", "root/spaq", "other"])
def test_a_folder(name: str, root: Path) -> None:
    check_folder(root.parent / name, IMAGES)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("roots", "is not there"),
        ("root/spaq2", "is not there"),
        ("root/dangling", "is not there"),
        ("labels.json", "is a file"),
        ("root/spaq/good.jpg/x", "is not there"),
        ("pipe", "is a pipe"),
    ],
)
def test_no_folder(name: str, what: str, root: Path) -> None:
    write_labels(root.parent / "labels.json", RECORDS)
    (root / "dangling").symlink_to("nowhere")
    os.mkfifo(root.parent / "pipe")
    folder = root.parent / name
    with pytest.raises(ConfigError) as caught:
        check_folder(folder, IMAGES)
    near = "name the folder that the images' paths begin in"
    if folder.parent in (root, root.parent):
        near = f"name {root}, which has spaq/good.jpg"
    assert str(caught.value) == f"--images {folder} {what}; {near}"


@pytest.mark.parametrize("name", ["", "root/spaq", "other"])
def test_a_folder_above_below_or_beside_the_right_one(name: str, root: Path) -> None:
    folder = root.parent / name
    assert str(none_of_them(folder, IMAGES)) == (
        f"--images {folder} has no spaq/good.jpg, nor any other of 2 images looked for; "
        f"name {root}, which has spaq/good.jpg"
    )


def test_a_folder_far_from_the_right_one(root: Path) -> None:
    folder = root.parent / "other/deep"
    folder.mkdir()
    assert str(none_of_them(folder, IMAGES[1:])) == (
        f"--images {folder} has no spaq/none.jpg; name the folder that the images' paths begin in"
    )


def test_a_folder_beside_it_that_nobody_may_search() -> None:
    with open_folder() as folder:
        write_images(folder / "root/spaq")
        (folder / "closed").mkdir(mode=0)
        with unprivileged():
            sentence = str(none_of_them(folder / "other", IMAGES))
    assert sentence.endswith(f"name {folder}/root, which has spaq/good.jpg")
