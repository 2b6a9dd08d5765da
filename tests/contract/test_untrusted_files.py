"""What is not trusted is read in one place each: nothing else may open it."""

import re

import pytest

from support.readme import ROOT

SOURCES = {
    path.relative_to(ROOT / "trainer/src/qinstruct_trainer").as_posix(): path.read_text("utf-8")
    for path in (ROOT / "trainer/src/qinstruct_trainer").rglob("*.py")
}

# Reads what it has made itself, in the same process: bytes that were never in a file.
SOURCES_OF_FILES = {
    path: text for path, text in SOURCES.items() if path != "train/checkpoint/host_copy.py"
}


@pytest.mark.parametrize(
    ("calls", "room"),
    [
        (r"torch\.load\(|import pickle$|pickle\.loads?\(|Unpickler\(|np\.load\(", "torch_files"),
        (r"LlavaForConditionalGeneration\.from_pretrained\(", "llava"),
        (r"\bAuto(Tokenizer|Processor|Config)\b|Tokenizer\w*\.from_pretrained\(", "tokenizer"),
        (r"Image\.open\(|from PIL\.\w+ import|import PIL|ImageFile|imread\(", "images"),
    ],
)
def test_one_module_reads_it(calls: str, room: str) -> None:
    readers = {
        path for path, text in SOURCES_OF_FILES.items() if re.search(calls, text, re.MULTILINE)
    }
    assert {path.rpartition("/")[2] for path in readers} == {f"{room}.py"}


def test_no_code_of_a_checkpoint_is_ever_asked_for() -> None:
    text = "\n".join(SOURCES.values())
    assert not re.search(
        r"trust_remote_code=(?!False)|get_class_from_dynamic|Config\.from_(pre|dict)", text
    )


def test_what_reads_its_own_pickles_opens_no_file() -> None:
    text = SOURCES["train/checkpoint/host_copy.py"]
    assert not re.search(r"\bopen|read_(bytes|bounded|whole)|\.load\((?!\))|pickle\.loads?\(", text)
