"""Room for data in the cache."""

from qinstruct_trainer.contract.config import Source
from qinstruct_trainer.contract.data_bytes import data_bytes


def images(name: str, size: int | None) -> Source:
    return Source(name=name, kind="images", url=f"https://host/{name}.tar", num_bytes=size)


LABELS = Source(name="labels", kind="labels", url="https://host/labels.json", num_bytes=7)
ARCHIVES = (images("one", 100), images("two", 300), images("unknown", None))


def test_the_largest_archive_counts_beside_all_that_is_extracted() -> None:
    assert data_bytes(ARCHIVES, keep_archives=False) == 400 + 300


def test_every_archive_counts_where_they_are_kept() -> None:
    assert data_bytes(ARCHIVES, keep_archives=True) == 2 * 400


def test_labels_are_there_four_times() -> None:
    for keep in (False, True):
        assert data_bytes((LABELS,), keep_archives=keep) == 4 * 7


def test_built_in_data_take_nothing_here() -> None:
    builtin = Source(name="builtin", kind="builtin", url="builtin:after")
    assert data_bytes((builtin,), keep_archives=True) == 0
