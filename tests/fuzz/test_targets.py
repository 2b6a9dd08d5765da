"""Whatever is read, it ends in a value or in a sentence of ours, within bounds of time and memory.

Searches for inputs that do not: a small sample, in `make test-all` a minute for each target. What
is found is written below build/fuzz, and belongs into tests/fuzz/corpus when it is mended.
"""

import json
import sys
from collections.abc import Callable, Iterator

import pytest
from hypothesis import strategies as st

from support.fuzz.archive_inputs import archives
from support.fuzz.byte_inputs import damaged
from support.fuzz.json_inputs import changed, json_inputs, written
from support.fuzz.model_inputs import model_folders
from support.fuzz.target import SECONDS, Sandbox, kept, sandbox, search

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600 + 3 * SECONDS)]

Inputs = st.SearchStrategy[bytes]


def json_of(target: str) -> Inputs:
    """Nearly the kept documents of a target that reads one."""
    return json_inputs(
        [json.loads(path.read_bytes()) for path in kept(target) if _is_json(path.read_bytes())]
    )


def lines_of(target: str) -> Inputs:
    """A few lines like the kept ones."""
    found = (line for path in kept(target) for line in path.read_bytes().split(b"\n"))
    documents = [json.loads(line) for line in found if _is_json(line)]
    line = changed(documents).flatmap(written).map(lambda text: text.replace(b"\n", b" "))
    return st.lists(line, min_size=1, max_size=4).map(b"\n".join)


def _is_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except (ValueError, RecursionError):
        return False
    return True


def archives_and(target: str) -> Inputs:
    """Made anew, and the kept ones with damage."""
    return archives() | st.sampled_from([path.read_bytes() for path in kept(target)]).flatmap(
        damaged
    )


TARGETS: dict[str, Callable[[str], Inputs]] = {
    "labels": json_of,
    "archives": archives_and,
    "model_folder": model_folders,
    "event_line": lines_of,
    "run_object": json_of,
}


@pytest.fixture(scope="module", params=TARGETS)
def box(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with sandbox(request.param) as made:
        yield made


def test_what_was_found_once_stays_mended(box: Sandbox) -> None:
    for path in kept(box.target):
        verdict = box.judge(path.read_bytes())
        assert not verdict.broken, f"{path}\n{verdict.broken}"


def test_nothing_new_is_found(box: Sandbox) -> None:
    search(box, TARGETS[box.target](box.target))
    values = sum(count for said, count in box.outcomes.items() if said.startswith("value "))
    sys.stdout.write(
        f"{box.target}: {box.outcomes.total():,} inputs, {values:,} taken, "
        f"{len(box.outcomes):,} different outcomes\n"
    )
    assert values
    assert len(box.outcomes) >= 5, f"they reach too little: {box.outcomes}"
