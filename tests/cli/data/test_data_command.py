"""`qinstruct data` by the trainer as a process of its own."""

from pathlib import Path

import pytest

from qinstruct_operator.cli import main
from qinstruct_trainer.contract.errors import EXIT_CONFIG, EXIT_DATA, EXIT_OK
from support.report import RECORDS, record, write_images, write_labels


def test_tables_and_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = write_images(tmp_path / "images")
    labels = write_labels(tmp_path / "x.json", [*RECORDS, record(None, "Is", type="\x1b[31mred\n")])
    page = tmp_path / "page.html"
    options = ["--images", str(images), "-o", str(page), "--seed", "1", "--samples", "3"]
    assert main(["data", str(labels), *options]) == EXIT_OK
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert f"the page: {page}" in said
    assert ["x.json", "7", "5"] in [line.split() for line in said.splitlines()]
    assert page.read_text("utf-8").count('class="card"') == 3


@pytest.mark.parametrize(
    ("content", "code"), [(None, EXIT_CONFIG), ("", EXIT_DATA), ("<html>", EXIT_DATA)]
)
def test_a_mistake_is_one_sentence(
    content: str | None, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    if content is not None:
        file.write_text(content)
    assert main(["data", str(file), "-o", str(tmp_path / "page.html")]) == code
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert said.err.startswith(f"qinstruct: {file} ")


def test_what_has_no_end_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "/dev/stdin"]) == EXIT_CONFIG
    said = capsys.readouterr().err
    assert said.startswith("qinstruct: /dev/stdin is a device, and no plain file; give a label ")


def test_a_wrong_folder_of_images_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = write_labels(tmp_path / "x.json", RECORDS)
    options = ["--images", str(tmp_path / "none"), "-o", str(tmp_path / "page.html")]
    assert main(["data", str(labels), *options]) == EXIT_CONFIG
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert said.err.startswith(f"qinstruct: --images {tmp_path}/none is not there; ")
