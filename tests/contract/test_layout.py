"""Each module with behaviour has its tests where its name says, or a row here that says where."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from support.readme import ROOT

TESTS: Final = ROOT / "tests"
PACKAGES: Final = {
    "qinstruct_operator": ROOT / "operator/src/qinstruct_operator",
    "qinstruct_trainer": ROOT / "trainer/src/qinstruct_trainer",
}


# A module without tests at its mirrored path: where its tests are, and why they are there.
TESTED_ELSEWHERE: Final[dict[str, tuple[str, str]]] = {
    "qinstruct_trainer.train.run": (
        "training/test_runs.py",
        "needs processes that train together",
    ),
}


def modules() -> Iterator[tuple[str, Path]]:
    """Dotted name and file of every module, `__init__` and `__main__` by these names."""
    for package, folder in PACKAGES.items():
        for file in sorted(folder.rglob("*.py")):
            yield ".".join((package, *file.relative_to(folder).with_suffix("").parts)), file


def has_behaviour(source: str) -> bool:
    """Whether there is a function with a body; constants, models and protocols have none."""
    functions = (
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return any(
        not (isinstance(step, ast.Expr) and isinstance(step.value, ast.Constant))
        for function in functions
        for step in function.body
    )


def own_tests(module: str) -> list[Path]:
    """The test files at the module's mirrored paths."""
    package, *rooms, name = (
        module.replace(".__init__", ".init").replace(".__main__", ".main").split(".")
    )
    is_cli = package == "qinstruct_operator" and rooms[:1] == ["cli"]
    mirrors = [TESTS] if is_cli else [TESTS / "unit" / package, TESTS / "faults"]
    return [
        file
        for mirror in mirrors
        for pattern in (f"test_{name}.py", f"test_{name}_*.py")
        for file in mirror.joinpath(*rooms).glob(pattern)
    ]


def test_each_module_with_behaviour_has_tests() -> None:
    missing = [
        module
        for module, file in modules()
        if has_behaviour(file.read_text("utf-8"))
        and not own_tests(module)
        and module not in TESTED_ELSEWHERE
    ]
    assert missing == [], "no tests at the mirrored path of:\n" + "\n".join(missing)


@pytest.mark.parametrize("module", TESTED_ELSEWHERE)
def test_a_module_that_is_tested_elsewhere_exists_and_so_do_its_tests(module: str) -> None:
    package, *parts = module.split(".")
    path = PACKAGES[package].joinpath(*parts)
    assert path.with_suffix(".py").is_file()
    assert (TESTS / TESTED_ELSEWHERE[module][0]).is_file()
    assert not own_tests(module), "it has tests of its own now: remove its row"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('"""Numbers."""\nA = 1\n', False),
        ('class A(Protocol):\n    def f(self) -> int:\n        """One."""\n        ...\n', False),
        ("@dataclass\nclass A:\n    x: int\n", False),
        ("def f() -> int:\n    return 1\n", True),
        ("class A:\n    async def f(self) -> int:\n        return 1\n", True),
    ],
)
def test_what_counts_as_behaviour(source: str, expected: bool) -> None:
    assert has_behaviour(source) == expected


# What the tests in e2e may know of the code: what a program that reads a run's output must know.
CONTRACT: Final = ("qinstruct_operator.constants", "qinstruct_trainer.contract")


@pytest.mark.parametrize("file", sorted((TESTS / "e2e").glob("*.py")), ids=lambda file: file.name)
def test_e2e_tests_start_the_program_and_call_none_of_its_functions(file: Path) -> None:
    imported = imported_modules(ast.parse(file.read_text("utf-8")))
    ours = {name for name in imported if name.split(".")[0] in PACKAGES}
    assert {name for name in ours if not name.startswith(CONTRACT)} == set()


def imported_modules(tree: ast.Module) -> set[str]:
    """Dotted names of everything that is imported, as modules and as members of modules."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names
