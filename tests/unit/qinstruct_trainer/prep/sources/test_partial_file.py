"""What outlives a process of a download."""

import json
from pathlib import Path
from typing import Any

import pytest

from qinstruct_trainer.prep.sources.partial_file import Notes, PartialFile

URL = "http://host/file"


def test_notes_are_those_of_their_address(tmp_path: Path) -> None:
    file = PartialFile(tmp_path / "part")
    notes = Notes(identity=URL, validator='"one"', total=10)
    file.write_notes(notes)
    assert file.read_notes(URL) == notes
    assert file.read_notes("http://host/other") == Notes(identity="http://host/other")


def test_all_of_it_is_forgotten(tmp_path: Path) -> None:
    file = PartialFile(tmp_path / "part")
    file.forget()
    file.path.write_bytes(b"abc")
    file.write_notes(Notes(identity=URL))
    assert file.size() == 3
    file.forget()
    assert list(tmp_path.iterdir()) == []
    assert file.size() == 0


def test_a_second_name_of_the_bytes_is_no_partial_file(tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"abc")
    (tmp_path / "part").hardlink_to(tmp_path / "mine")
    (tmp_path / "part.json").symlink_to(tmp_path / "mine")
    PartialFile(tmp_path / "part").refuse_planted()
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    "changes",
    [
        {"spans": [[0, 11]]},
        {"spans": [[-1, 3]]},
        {"spans": [[3, 2]]},
        {"spans": [[0, 3], [3, 5]]},
        {"spans": [[5, 6], [0, 3]]},
        {"spans": [[0]]},
        {"spans": [[0, 3]], "validator": None},
        {"spans": [[0, 3]], "total": None},
        {"spans": [[0, 3]], "total": 11},
        {"identity": "http://host/other", "spans": [[0, 3]]},
    ],
)
def test_notes_that_do_not_fit_the_file_are_none(changes: dict[str, Any], tmp_path: Path) -> None:
    file = PartialFile(tmp_path / "part")
    file.divide(Notes(identity=URL, validator='"one"'), 10)
    assert file.read_notes(URL).spans == ()
    planted = {"identity": URL, "validator": '"one"', "total": 10, **changes}
    (tmp_path / "part.json").write_text(json.dumps(planted))
    assert file.read_notes(URL) == Notes(identity=URL)


def test_an_earlier_version_does_not_take_a_divided_file_for_a_whole_one(tmp_path: Path) -> None:
    """It knew `url`, `validator` and `total`, and compared the size."""
    file = PartialFile(tmp_path / "part")
    file.divide(Notes(identity=URL, validator='"one"'), 10)
    assert "url" not in json.loads((tmp_path / "part.json").read_text())
