"""What is known of a file, and what a preparation makes of it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from qinstruct_trainer.contract.config import Prepared, Source
from qinstruct_trainer.contract.errors import UnavailableError
from qinstruct_trainer.prep.sources.answers import Stamp
from qinstruct_trainer.prep.versions import FIRST, Versions, known_path, note_fetched

SOURCE = Source(name="labels", kind="labels", url="https://host/file?token=s3cret")
UNIT = "fetch-labels-0123456789abcdef"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return known_path(tmp_path, UNIT)


def prepared(versions: dict[str, str] | None) -> Prepared:
    place = Path("/unit")
    return Prepared(index=place, model=place, gate_report=place, num_records=1, versions=versions)


def never(_: Source) -> Stamp:
    raise AssertionError("it was asked")


def take(path: Path, there: set[str], ask: Callable[[Source], Stamp] = never) -> str | None:
    """The version that is taken; None where it is none of the cache's."""

    def find(version: str) -> Path | None:
        return path.parent.parent if version in there else None

    version = Versions().choose(SOURCE, path, find, lambda _: False, ask)
    return version if version in there else None


def choose(
    path: Path,
    stamp: Stamp | None = None,
    before: Prepared | None = None,
    *,
    there: bool = True,
    coming: bool = False,
) -> str:
    """The version that is taken where the server has this one."""

    def ask(source: Source) -> Stamp:
        assert source.url == SOURCE.url
        return never(source) if stamp is None else stamp

    found = path.parent.parent if there else None
    versions = Versions(before)
    chosen = versions.choose(SOURCE, path, lambda _: found, lambda _: coming, ask)
    assert versions.taken == {UNIT: chosen}
    return chosen


def test_nothing_is_asked_of_what_was_never_fetched(path: Path) -> None:
    assert choose(path, there=False) == FIRST
    assert not path.exists()


def test_nothing_is_asked_of_what_is_coming(path: Path) -> None:
    """It is noted before it is in the cache."""
    note_fetched(path, FIRST, SOURCE.url, Stamp(etag='"a"'))
    assert choose(path, there=False, coming=True) == FIRST
    second = choose(path, Stamp(etag='"b"'), there=False)
    assert choose(path, there=False, coming=True) == second


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"identity": "x", "version": "../../x"}',
        b'{"identity": "x", "stamp": {"etag": "\\u2028"}}',
        b" " * 100_000,
    ],
)
def test_a_note_of_another_make_is_no_note(content: bytes, path: Path) -> None:
    note_fetched(path, FIRST, SOURCE.url, Stamp(etag='"a"'))
    path.write_bytes(content)
    assert choose(path, Stamp(etag='"b"')) == FIRST  # as in a cache without any
    assert choose(path) == FIRST


def plant_file(path: Path) -> None:
    path.parent.write_text("theirs")


def plant_pipe(path: Path) -> None:
    os.mkfifo(path.parent)


def plant_folder(path: Path) -> None:
    (path / "full").mkdir(parents=True)


def plant_link(path: Path) -> None:
    path.parent.mkdir()
    path.symlink_to(path.parent)


@pytest.mark.parametrize("plant", [plant_file, plant_pipe, plant_folder, plant_link])
def test_what_is_planted_in_the_place_of_a_note_goes(
    plant: Callable[[Path], None], path: Path
) -> None:
    plant(path)
    assert choose(path, Stamp(etag='"a"')) == FIRST
    assert path.is_file()
    assert not path.is_symlink()
    assert choose(path) == FIRST  # it is known now


def test_no_secret_is_noted(path: Path) -> None:
    note_fetched(path, FIRST, SOURCE.url, Stamp(etag='"a"'))
    assert "s3cret" not in path.read_text()


def test_what_is_gone_is_asked_for_before_it_is_fetched(path: Path) -> None:
    note_fetched(path, FIRST, SOURCE.url, Stamp(etag='"a"'))
    assert choose(path) == FIRST
    assert choose(path, Stamp(etag='"a"'), there=False) == FIRST
    second = choose(path, Stamp(etag='"b"'), there=False)
    assert second != FIRST
    # Its server does not go back to the first version: that is a third one.
    assert choose(path, Stamp(etag='"a"'), there=False) not in (FIRST, second)


def test_what_was_said_once_is_not_forgotten(path: Path) -> None:
    note_fetched(path, FIRST, SOURCE.url, Stamp(etag='"a"', num_bytes=1))
    assert choose(path, Stamp(num_bytes=1), there=False) == FIRST
    assert choose(path, Stamp(etag='"b"', num_bytes=1), there=False) != FIRST


def test_two_preparations_at_once_find_the_same_version(path: Path) -> None:
    note_fetched(path, FIRST, SOURCE.url, Stamp(etag='"a"'))
    before = path.read_bytes()
    one = choose(path, Stamp(etag='"b"'), there=False)
    path.write_bytes(before)
    assert choose(path, Stamp(etag='"b"'), there=False) == one
    note_fetched(path, FIRST, SOURCE.url, Stamp(etag='"a"'))  # who was slower
    assert choose(path) == one


@pytest.mark.parametrize(
    ("versions", "kept"),
    [(None, FIRST), ({UNIT: FIRST}, FIRST), ({UNIT: "0" * 16}, "0" * 16)],
)
def test_a_run_keeps_its_version_without_asking(
    versions: dict[str, str] | None, kept: str, path: Path
) -> None:
    note_fetched(path, "1" * 16, SOURCE.url, Stamp(etag='"a"'))
    assert choose(path, before=prepared(versions)) == kept


def test_a_version_that_is_gone_cannot_be_kept(path: Path) -> None:
    note_fetched(path, "1" * 16, SOURCE.url, Stamp(etag='"a"'))
    before = prepared({UNIT: FIRST})
    assert choose(path, Stamp(etag='"a"'), before=before, there=False) == "1" * 16
    assert choose(path, before=prepared({"fetch-other": FIRST})) == "1" * 16


def test_who_does_not_answer_changes_nothing(path: Path) -> None:
    def ask(_: Source) -> Stamp:
        raise UnavailableError("labels cannot be fetched; wait")

    note_fetched(path, FIRST, SOURCE.url, Stamp(etag='"a"'))
    before = path.read_bytes()
    assert Versions().choose(SOURCE, path, lambda _: None, lambda _: False, ask) == FIRST
    assert path.read_bytes() == before


def gone(_: Source) -> Stamp:
    raise UnavailableError("labels cannot be fetched; wait")


def announced(path: Path, num: int) -> list[str]:
    """So many versions of which its server has said that it has them."""
    note_fetched(path, FIRST, SOURCE.url, Stamp(etag='"0"'))
    return [FIRST, *(choose(path, Stamp(etag=f'"{n}"'), there=False) for n in range(1, num))]


@pytest.mark.parametrize("there", [{0}, {1}, {0, 1}, {0, 2}, {0, 1, 2, 3}, set()])
def test_who_does_not_answer_leaves_the_newest_that_is_there(there: set[int], path: Path) -> None:
    names = announced(path, 4)
    before = path.read_bytes()
    newest = names[max(there)] if there else None
    assert take(path, {names[n] for n in there}, gone) == newest
    assert path.read_bytes() == before  # asked again the next time


def test_a_version_that_does_not_come_gives_way_to_those_before_it(path: Path) -> None:
    names = announced(path, 4)
    versions = Versions()
    assert versions.choose(SOURCE, path, lambda _: path, lambda _: True, never) == names[3]
    fallen = [versions.fall_back(path, lambda v: path if v != names[1] else None) for _ in "123"]
    assert fallen == [names[2], FIRST, None]
    assert versions.taken == {UNIT: FIRST}
    assert Versions().fall_back(path, lambda _: path) is None  # of what was not chosen


def test_what_is_gone_gives_way_to_the_newest_that_others_have_fetched(path: Path) -> None:
    names = announced(path, 3)
    versions = Versions(prepared({UNIT: names[1]}))
    assert versions.choose(SOURCE, path, lambda _: path, lambda _: False, never) == names[1]
    assert versions.move_on(path, lambda v: path if v == FIRST else None) is None
    assert versions.move_on(path, lambda v: path if v == names[2] else None) == names[2]
    assert versions.taken == {UNIT: names[2]}
    assert versions.move_on(path, lambda _: path) is None


def test_of_the_first_version_there_is_none_before(path: Path) -> None:
    note_fetched(path, FIRST, SOURCE.url, Stamp(etag='"a"'))
    versions = Versions()
    versions.choose(SOURCE, path, lambda _: path, lambda _: False, never)
    assert versions.fall_back(path, lambda _: path) is None


def test_the_note_of_a_server_that_has_another_file_each_time_is_bounded(path: Path) -> None:
    names = announced(path, 40)
    assert len(path.read_bytes()) < 4000
    assert take(path, {names[-3], FIRST}, gone) == names[-3]
    assert take(path, {FIRST}, gone) == FIRST  # which needs no note
    longest = Stamp(etag="\\" * 1000, changed='"' * 1000)
    for n in range(10):
        choose(path, longest.model_copy(update={"num_bytes": n}), there=False)
    assert choose(path) != FIRST  # it is read


@pytest.mark.parametrize(
    ("asked", "sent", "came"),
    [
        (0, '"0"', 0),  # who was slower
        (1, '"1"', 1),
        (0, '"1"', 1),  # it was damaged, and its server has the newest
        (1, '"0"', None),  # its server does not go back: that is a third one
        (0, '"x"', None),
        (1, '"x"', None),
    ],
)
def test_what_comes_is_of_the_version_that_its_server_says(
    asked: int, sent: str, came: int | None, path: Path
) -> None:
    names = announced(path, 2)
    before = path.read_bytes()
    found = note_fetched(path, names[asked], SOURCE.url, Stamp(etag=sent))
    assert (names.index(found) if found in names else None) == came
    if came is None:
        assert note_fetched(path, found, SOURCE.url, Stamp(etag=sent)) == found
        path.write_bytes(before)  # two at once find the same
        assert note_fetched(path, names[asked], SOURCE.url, Stamp(etag=sent)) == found


def test_what_another_address_sends_cannot_be_compared(path: Path) -> None:
    announced(path, 1)
    assert note_fetched(path, FIRST, "https://mirror/file", Stamp(etag='"x"')) == FIRST
