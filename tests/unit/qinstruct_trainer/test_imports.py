import gc
from collections.abc import Iterator

import pytest

from qinstruct_trainer.imports import without_collector


@pytest.fixture(autouse=True)
def _collector() -> Iterator[None]:
    """What was frozen, here or by an earlier test, is looked at again."""
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_the_collector_rests_and_then_leaves_alone_what_was_imported() -> None:
    with without_collector():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 1000


def test_the_collector_works_again_after_a_module_that_is_broken() -> None:
    with pytest.raises(ModuleNotFoundError), without_collector():
        raise ModuleNotFoundError
    assert gc.isenabled()
