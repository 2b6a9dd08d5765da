"""No code of a stage changes without a word on whether its units are still the same."""

import ast
import importlib.util
import shutil
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final, get_args

import pytest

from qinstruct_trainer.contract.events import Stage
from qinstruct_trainer.prep.code_versions import CODE_VERSIONS, Maker
from support.readme import ROOT

SCRIPT: Final = ROOT / "scripts/code_versions.py"
RECORD: Final = ROOT / "trainer/src/qinstruct_trainer/prep/code_versions.py"
UNGUARDED: Final = {"fetch"}  # a source's bytes


def load() -> Any:
    spec = importlib.util.spec_from_file_location("code_versions", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


versions = load()
NOW: Final = {maker: versions.digest_of(maker) for maker in versions.MAKERS}


def test_the_code_of_every_stage_is_the_code_of_its_version() -> None:
    assert versions.stale(RECORD.read_text("utf-8")) == []


def test_whatever_makes_a_unit_has_a_version_and_a_place_where_its_code_begins() -> None:
    assert {*CODE_VERSIONS} == {*get_args(Maker)}
    assert {*get_args(Stage)} <= {*CODE_VERSIONS}
    assert {*versions.MAKERS} == {*CODE_VERSIONS} - UNGUARDED
    stages = versions.Module(versions.STAGES)
    for begins in versions.MAKERS.values():
        assert all(stages.nodes(each) for each in begins)


def test_no_row_of_what_decides_nothing_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = dict(versions.BESIDE)
    monkeypatch.setattr(versions, "BESIDE", {})
    reached = {module for maker in versions.MAKERS for module, _ in versions.code_of(maker)}
    monkeypatch.setattr(versions, "BESIDE", rows)
    beside = {module for module in reached if versions.is_beside(module)}
    for row in rows:
        assert any(f"{module}.".startswith(f"{versions.PACKAGE}.{row}.") for module in beside), row


def test_no_code_that_decides_is_imported_in_a_way_that_is_not_followed() -> None:
    modules = {module for maker in versions.MAKERS for module, _ in versions.code_of(maker)}
    for module in modules:
        tree = ast.parse(versions._file_of(module).read_text("utf-8"))
        plain = [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
        names = {each.name.split(".")[0] for node in plain for each in node.names}
        assert versions.PACKAGE not in names, module


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package, which is what the script reads."""
    kept = shutil.ignore_patterns("__pycache__")
    package = ROOT / "trainer/src" / versions.PACKAGE
    copied: Path = tmp_path / versions.PACKAGE
    shutil.copytree(package, copied, ignore=kept)
    monkeypatch.setattr(versions, "SOURCE", tmp_path)
    monkeypatch.setattr(versions, "RECORD", copied / "prep/code_versions.py")
    monkeypatch.setattr(versions, "_module", cache(versions.Module))
    return copied


def noticed() -> set[str]:
    return {maker for maker, digest in NOW.items() if versions.digest_of(maker) != digest}


def edit(file: str, before: str, after: str) -> Callable[[Path], None]:
    def change(source: Path) -> None:
        text = (source / file).read_text("utf-8")
        assert before in text
        (source / file).write_text(text.replace(before, after, 1), "utf-8")

    return change


def laid_out_anew(source: Path) -> None:
    """Every file with another layout, without comments, and with other docstrings."""
    for file in {*source.rglob("*.py")} - {versions.RECORD}:
        tree = ast.parse(file.read_text("utf-8"))
        for node in ast.walk(tree):
            if versions._is_text(node):
                node.value = ast.Constant("Other words.")  # type: ignore[attr-defined]
        file.write_text(ast.unparse(tree) + "\n", "utf-8")


def moved(source: Path) -> None:
    """A function of the extraction in a new module, which nobody has listed, and changed."""
    edit("prep/extract.py", "def _is_of_packing", "def _unused")(source)
    edit(
        "prep/extract.py",
        "import io\n",
        "import io\nfrom qinstruct_trainer.prep.new import x as _is_of_packing\n",
    )(source)
    (source / "prep/new.py").write_text("def x(path):\n    return False\n")


USES_RECORDS: Final = {"listed", "gate", "model", "index"}
CHANGES: Final[dict[str, tuple[Callable[[Path], None], set[str]]]] = {
    "layout, comments and docstrings": (laid_out_anew, set()),
    "a function that nobody calls": (
        edit("prep/merge.py", "def merge(", "def other():\n    pass\n\n\ndef merge("),
        set(),
    ),
    "how a file is linked": (
        edit("durable_files.py", "target.hardlink_to", "target.link_to"),
        set(),
    ),
    "how a server is asked": (edit("prep/sources/connection.py", "def ", "def a"), set()),
    "a number at the top": (
        edit("prep/extract.py", "_MAX_GROWTH = ", "_MAX_GROWTH = 1 + "),
        {"extract"},
    ),
    "a function in a new module": (moved, {"extract"}),
    "a method of a class that is called": (
        edit("prep/unpacked_stream.py", "return ", "return b'' or "),
        {"extract"},
    ),
    "what a stage does with its maker's result": (
        edit("prep/stages.py", "folder / RECORDS, progress)", "folder / DEAD, progress)"),
        {"merge"},
    ),
    "a function far below": (
        edit("data/records.py", "def _parse_turn(raw: object", "def _parse_turn(raw: int"),
        USES_RECORDS,
    ),
    "a question of the builtin set": (edit("builtin/questions.py", "blur", "haze"), {"builtin"}),
    "what a module does when it is imported": (
        edit("prep/image_list.py", "\ndef ", "\nprint()\n\n\ndef "),
        {"listed"},
    ),
}


@pytest.mark.parametrize(("change", "makers"), CHANGES.values(), ids=CHANGES)
def test_a_change_is_noticed_where_it_may_count(
    change: Callable[[Path], None], makers: set[str], source: Path
) -> None:
    change(source)
    assert noticed() == makers
    said = versions.stale(versions.RECORD.read_text("utf-8"))
    assert len(said) == len(makers)


@pytest.mark.parametrize(("word", "number"), [("keep", 2), ("raise", 3)])
def test_a_person_says_what_a_change_means(
    word: str, number: int, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = versions.recorded(versions.RECORD.read_text("utf-8"))
    CHANGES["a function in a new module"][0](source)
    with pytest.raises(SystemExit, match="the code that makes the units of extract has changed"):
        run(monkeypatch)
    run(monkeypatch, word, "extract")
    with pytest.raises(SystemExit) as left:
        run(monkeypatch)
    assert left.value.code is None
    after = versions.recorded(versions.RECORD.read_text("utf-8"))
    assert after == before | {"extract": (number, versions.digest_of("extract"))}


@pytest.mark.parametrize(
    "arguments", [["keep"], ["raise", "fetch"], ["update", "merge"], ["check", "merge"]]
)
def test_neither_word_is_said_by_mistake(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match="usage"):
        run(monkeypatch, *arguments)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["code_versions.py", *arguments])
    versions.main()
