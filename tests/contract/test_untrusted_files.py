"""What is not trusted is read in one place each: nothing else may open it."""

import re

import pytest

from support.readme import ROOT

SOURCES = {
    path.relative_to(ROOT / "trainer/src/qinstruct_trainer").as_posix(): path.read_text("utf-8")
    for path in (ROOT / "trainer/src/qinstruct_trainer").rglob("*.py")
}


@pytest.mark.parametrize(
    ("calls", "room"),
    [
        (r"torch\.load\(|import pickle$|pickle\.loads?\(|Unpickler\(|np\.load\(", "torch_files"),
        (r"Image\.open\(|from PIL\.\w+ import|import PIL|ImageFile|imread\(", "images"),
    ],
)
def test_one_module_reads_it(calls: str, room: str) -> None:
    readers = {path for path, text in SOURCES.items() if re.search(calls, text, re.MULTILINE)}
    assert {path.rpartition("/")[2] for path in readers} == {f"{room}.py"}
