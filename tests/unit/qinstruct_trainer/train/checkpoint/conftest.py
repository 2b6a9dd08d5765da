from collections.abc import Iterator

import pytest

from support.checkpoints import group_of_one


@pytest.fixture(autouse=True)
def _collective_calls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with group_of_one(tmp_path_factory.mktemp("group") / "store"):
        yield
