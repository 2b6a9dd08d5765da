"""How many images are decoded at once."""

from pathlib import Path

import pytest

from qinstruct_trainer.prep.images import memory_limit


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["1073741824\n"], 1 << 30),
        (["max\n"], None),
        (["max\n", "2147483648\n"], 2 << 30),
        (["9223372036854771712\n"], None),  # version 1 has no word for no limit
        ([], None),
    ],
)
def test_memory_is_the_containers_or_the_machines(
    texts: list[str], expected: int | None, tmp_path: Path
) -> None:
    files = [tmp_path / str(number) for number in range(2)]
    for file, text in zip(files, texts, strict=False):
        file.write_text(text)
    machine = memory_limit([])
    assert machine > 3 << 30
    assert memory_limit([str(file) for file in files]) == (expected or machine)
