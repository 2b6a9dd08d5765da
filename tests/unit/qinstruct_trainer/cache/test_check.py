"""Every file is read and compared with its digest, and nothing is changed."""

import os
from pathlib import Path

from qinstruct_trainer.cache.check import check_cache
from qinstruct_trainer.contract.events import Event, Verifying
from support.cache.units import IMAGES, LABELS, make, no_events


def test_a_whole_cache(tmp_path: Path) -> None:
    folders = make(tmp_path, LABELS, IMAGES)
    events: list[Event] = []
    found = check_cache(tmp_path, 0, events.append)
    total = sum(path.stat().st_size for folder in folders for path in folder.iterdir())
    assert (found.num_units, found.num_bytes, found.damaged) == (2, total, ())
    assert isinstance(events[-1], Verifying)
    assert (events[-1].done, events[-1].total) == (total, total)


def test_a_byte_that_was_changed_behind_the_back_of_size_and_time(tmp_path: Path) -> None:
    one, two = make(tmp_path, LABELS, IMAGES)
    before = (two / "file").stat()
    (two / "file").write_bytes(b"\1" + bytes(999))
    os.utime(two / "file", ns=(before.st_atime_ns, before.st_mtime_ns))
    (damaged,) = check_cache(tmp_path, 0, no_events).damaged
    assert damaged.name == two.name
    assert damaged.reason.startswith(f"{two / 'file'} was damaged after it was made")
    assert one.is_dir()
    assert two.is_dir()


def test_a_copy_without_its_times_is_whole_and_stays_as_it_is(tmp_path: Path) -> None:
    (folder,) = make(tmp_path, LABELS)
    os.utime(folder / "file", ns=(1, 1))
    assert check_cache(tmp_path, 0, no_events).damaged == ()
    assert (folder / "file").stat().st_mtime_ns == 1
