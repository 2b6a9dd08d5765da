"""A small data set in the published layout, and a server of its files."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.prep.file_server import FaultyServer, serve
from support.prep.miniature import Miniature, write_miniature


@pytest.fixture
def miniature(tmp_path: Path) -> Miniature:
    return write_miniature(tmp_path / "served")


@pytest.fixture
def server(miniature: Miniature) -> Iterator[FaultyServer]:
    with serve(miniature.labels.parent) as running:
        yield running
