"""From a file to its page and its tables; damaged images are shown as such."""

import os
from pathlib import Path

import pytest
from PIL import Image

from qinstruct_trainer.contract.errors import ConfigError
from qinstruct_trainer.contract.summary import DataSummary
from qinstruct_trainer.report.command import run_data
from qinstruct_trainer.report.page import GENERATOR
from support.report import RECORDS, record, write_images, write_labels, write_prepared


def report(
    capsys: pytest.CaptureFixture[str], file: Path, *options: str
) -> tuple[dict[str, dict[str, str]], str]:
    """Tables by title, each with its last column by its first ones; and the page."""
    page = file.parent / "page.html"
    run_data([str(file), f"--output={page}", *options])
    found = DataSummary.model_validate_json(capsys.readouterr().out)
    tables = {t.title: {" ".join(row[:-1]): row[-1] for row in t.rows} for t in found.tables}
    return tables, page.read_text("utf-8")


def test_labels_with_their_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = write_images(tmp_path / "images")
    Image.new("1", (40_000, 40_000)).save(images / "huge.png")
    (images / "cut.jpg").write_bytes((images / "good.jpg").read_bytes()[:-500])
    (images / "link.jpg").symlink_to("/etc/passwd")
    more = [record(f"{name}", "Is it?") for name in ("huge.png", "cut.jpg", "link.jpg")]
    file = write_labels(tmp_path / "x.json", [*RECORDS, *more])
    tables, page = report(capsys, file, f"--images={images}")
    kinds = tables["Images (8 looked at)"]
    assert kinds["JPEG, longer edge below 1,024 pixels"] == "1"
    assert kinds["PNG, longer edge below 2,048 pixels"] == "1"
    assert kinds["missing"] == "2"
    assert sum(int(number) for kind, number in kinds.items() if kind.startswith("damaged")) == 4
    assert page.count("<img ") == 2
    assert "178,956,970 pixels" in page
    assert "root:" not in page


def test_labels_without_their_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tables, page = report(capsys, write_labels(tmp_path / "x.json", RECORDS))
    assert not [title for title in tables if title.startswith("Images")]
    assert page.count("not looked for") == 5


def test_prepared_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tables, page = report(capsys, write_prepared(tmp_path))
    assert tables["Records"] == {"q-instruct-labels 3 2": "7"}
    assert "Tokens of a record, image included" in page
    assert page.count("<img ") == 2


def test_an_index_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_prepared(tmp_path)
    tables, _ = report(capsys, tmp_path / "index")
    assert tables == {"Lengths": {"tokens of a record, image included 3 4 5": "12"}}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("labels.json", "is the file to report on; name another file"),
        ("notes.txt", "is there already, and no page of `qinstruct data`; name another file"),
        ("pipe", "is there already, and no page of `qinstruct data`; name another file"),
        ("link", "is there already, and no page of `qinstruct data`; name another file"),
        ("folder", "is a folder; name a file"),
        ("nowhere/page.html", "lies in a folder that is not there; make it or name another file"),
    ],
)
def test_nothing_but_an_earlier_page_is_written_over(name: str, words: str, tmp_path: Path) -> None:
    file = write_labels(tmp_path / "labels.json", RECORDS)
    before = file.read_bytes()
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "link").symlink_to("notes.txt")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match=words):
        run_data([str(file), f"--output={tmp_path / name}"])
    assert file.read_bytes() == before
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()


def test_a_page_is_not_written_over_where_it_is_the_file(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(GENERATOR)
    (tmp_path / "link.html").symlink_to(page)
    for name in ("page.html", "./page.html", "link.html"):
        with pytest.raises(ConfigError, match="is the file to report on; name another file"):
            run_data([str(page), f"--output={tmp_path / name}"])
    assert page.read_text() == GENERATOR


def test_a_folder_without_any_of_the_images(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images")
    (tmp_path / "empty").mkdir()
    file = write_labels(tmp_path / "x.json", RECORDS)
    with pytest.raises(ConfigError) as caught:
        run_data([str(file), f"--output={tmp_path / 'page.html'}", f"--images={tmp_path}"])
    assert f"nor any other of 5 images looked for; name {images}, which has" in str(caught.value)
    assert not (tmp_path / "page.html").exists()


def test_a_folder_of_images_that_is_not_there(tmp_path: Path) -> None:
    file = write_labels(tmp_path / "x.json", RECORDS)
    with pytest.raises(ConfigError, match=r"--images .*/images is not there; name the folder"):
        run_data([str(file), f"--output={tmp_path / 'p.html'}", f"--images={tmp_path / 'images'}"])


def test_images_that_are_pipes_are_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = write_images(tmp_path / "images")
    os.mkfifo(images / "missing.jpg")
    file = write_labels(tmp_path / "x.json", RECORDS)
    tables, _ = report(capsys, file, f"--images={images}")
    assert tables["Images (5 looked at)"]["missing"] == "2"


def test_a_page_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_labels(tmp_path / "labels.json", RECORDS)
    first = report(capsys, file)
    assert report(capsys, file) == first
