"""What outlives a process of a download."""

from pathlib import Path

from qinstruct_trainer.prep.sources.partial_file import Notes, PartialFile

URL = "http://host/file"


def test_notes_are_those_of_their_address(tmp_path: Path) -> None:
    file = PartialFile(tmp_path / "part")
    notes = Notes(url=URL, validator='"one"', total=10)
    file.write_notes(notes)
    assert file.read_notes(URL) == notes
    assert file.read_notes("http://host/other") == Notes(url="http://host/other")


def test_all_of_it_is_forgotten(tmp_path: Path) -> None:
    file = PartialFile(tmp_path / "part")
    file.forget()
    file.path.write_bytes(b"abc")
    file.write_notes(Notes(url=URL))
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
