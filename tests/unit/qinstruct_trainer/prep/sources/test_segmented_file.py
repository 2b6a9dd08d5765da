"""A file that many threads fill, and its record."""

import os
import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from qinstruct_trainer.prep.sources.partial_file import Notes, PartialFile
from qinstruct_trainer.prep.sources.segmented_file import SegmentedFile
from qinstruct_trainer.prep.sources.spans import num_bytes

URL = "http://host/file"
SEGMENT = 4096
CONTENT = random.Random(0).randbytes(8 * SEGMENT + 100)
CONNECTIONS = 4


def divided(folder: Path) -> PartialFile:
    partial = PartialFile(folder / "part")
    partial.divide(Notes(identity=URL, validator='"one"'), len(CONTENT))
    return partial


def opened(partial: PartialFile) -> SegmentedFile:
    return SegmentedFile(partial, partial.read_notes(URL), SEGMENT)


def recorded(partial: PartialFile) -> int:
    return num_bytes(partial.read_notes(URL).spans or ())


def fill(file: SegmentedFile, chunk: int, note: Callable[[int], None] = lambda _: None) -> None:
    """All of it, by some threads."""

    def run(first: int) -> None:
        for piece in file.pieces[first::CONNECTIONS]:
            while piece.at < piece.end:
                file.write(piece, CONTENT[piece.at : min(piece.at + chunk, piece.end)], note)

    threads = [threading.Thread(target=run, args=(first,)) for first in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_many_threads_make_one_file(tmp_path: Path) -> None:
    partial = divided(tmp_path)
    with opened(partial) as file:
        fill(file, 300)
        file.record()
        assert file.num_bytes() == len(CONTENT)
    assert partial.path.read_bytes() == CONTENT
    assert partial.read_notes(URL).spans == ((0, len(CONTENT)),)
    with opened(partial) as file:
        assert file.pieces == ()


def test_what_is_recorded_is_on_the_disk_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No record counts a byte that was written after the last sync of the bytes."""
    partial = divided(tmp_path)
    synced = b""
    wrong: list[tuple[int, int]] = []
    write_notes = PartialFile.write_notes

    def sync(_: int) -> None:
        nonlocal synced
        synced = partial.path.read_bytes()

    def check(file: PartialFile, notes: Notes) -> None:
        wrong.extend(s for s in notes.spans or () if synced[slice(*s)] != CONTENT[slice(*s)])
        write_notes(file, notes)

    monkeypatch.setattr(os, "fdatasync", sync)
    monkeypatch.setattr(PartialFile, "write_notes", check)
    with opened(partial) as file:
        fill(file, 100)
        file.record()
    assert wrong == []
    assert recorded(partial) == len(CONTENT)


def test_at_most_half_a_segment_and_what_is_being_written_is_not_recorded(tmp_path: Path) -> None:
    partial = divided(tmp_path)
    chunk, unrecorded = 64, [0]
    with opened(partial) as file:
        fill(file, chunk, lambda there: unrecorded.append(there - recorded(partial)))
    assert 0 < max(unrecorded) <= SEGMENT // 2 + CONNECTIONS * chunk


def test_a_rest_is_what_was_not_recorded(tmp_path: Path) -> None:
    partial = divided(tmp_path)
    with opened(partial) as file:
        for number, end in ((0, 10), (2, 3 * SEGMENT)):
            piece = file.pieces[number]
            file.write(piece, CONTENT[piece.at : end], lambda _: None)
        file.record()
    with opened(partial) as file:
        assert [(piece.start, piece.end) for piece in file.pieces[:3]] == [
            (10, SEGMENT),
            (SEGMENT, 2 * SEGMENT),
            (3 * SEGMENT, 4 * SEGMENT),
        ]


def test_only_a_file_with_a_size_has_segments(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no segments"):
        SegmentedFile(PartialFile(tmp_path / "part"), Notes(identity=URL), SEGMENT)


def test_a_link_in_the_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    partial = divided(tmp_path)
    notes = partial.read_notes(URL)
    partial.path.rename(tmp_path / "mine")
    partial.path.symlink_to(tmp_path / "mine")
    with pytest.raises(OSError, match="symbolic link"):
        SegmentedFile(partial, notes, SEGMENT)
