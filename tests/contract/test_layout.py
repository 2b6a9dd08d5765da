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

OPERATOR: Final = "unit/qinstruct_operator"

# A module, or a package with all modules below that have no tests of their own: its test file, and
# why it is there.
TESTED_ELSEWHERE: Final[dict[str, tuple[str, str]]] = {
    "qinstruct_operator.api.base": (
        f"{OPERATOR}/api/test_schema.py",
        "what the base classes add is in the schemas of all models",
    ),
    "qinstruct_operator.api.crd": (
        f"{OPERATOR}/api/test_schema.py",
        "the CRD is the schema in its envelope",
    ),
    "qinstruct_operator.api.parse": (
        f"{OPERATOR}/api/test_schema.py",
        "what is parsed is compared with what the schema accepts",
    ),
    "qinstruct_operator.api.rules": (
        "cluster/test_api_refusals.py",
        "only a real API server evaluates CEL",
    ),
    "qinstruct_operator.cli.cluster": (
        "cli/cluster/test_status_command.py",
        "parts of the commands: tested by what the commands print",
    ),
    "qinstruct_operator.cli.local.run": (
        "e2e/test_run_local.py",
        "starts real processes",
    ),
    "qinstruct_operator.cli.local.show_result": (
        "e2e/test_run_tiny.py",
        "shows the result of a whole run",
    ),
    "qinstruct_operator.cli.plan.show_nodes": (
        "cli/plan/test_nodes.py",
        "tested by what `plan` prints about nodes",
    ),
    "qinstruct_operator.cli.plan.show_plan": (
        "cli/test_app.py",
        "tested by what `plan` prints",
    ),
    "qinstruct_operator.cli.tables": (
        "cli/test_app.py",
        "tested by the tables that the commands print",
    ),
    "qinstruct_operator.cli.terminal": (
        "cli/test_untrusted.py",
        "what it must keep from the terminal comes through every command",
    ),
    "qinstruct_operator.cluster.refusals": (
        f"{OPERATOR}/cluster/test_kube.py",
        "tested by the errors that the client raises",
    ),
    "qinstruct_operator.core.children": (
        f"{OPERATOR}/core/children/test_golden_manifests.py",
        "all children of a run are compared with golden manifests",
    ),
    "qinstruct_operator.core.fit.labels": (
        f"{OPERATOR}/core/fit/test_nodes.py",
        "labels are read as part of a node",
    ),
    "qinstruct_trainer.data.conversation": (
        "oracle/test_conversations.py",
        "compared with the original LLaVA code",
    ),
    "qinstruct_trainer.train.run": (
        "training/test_runs.py",
        "needs processes that train together",
    ),
}


def modules() -> Iterator[tuple[str, Path]]:
    """Dotted name and file of every module, but for those that only gather or start others."""
    for package, folder in PACKAGES.items():
        for file in sorted(folder.rglob("*.py")):
            if file.stem not in ("__init__", "__main__"):
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
    package, *rooms, name = module.split(".")
    is_cli = package == "qinstruct_operator" and rooms[:1] == ["cli"]
    mirrors = [TESTS] if is_cli else [TESTS / "unit" / package, TESTS / "faults"]
    return [
        file
        for mirror in mirrors
        for pattern in (f"test_{name}.py", f"test_{name}_*.py")
        for file in mirror.joinpath(*rooms).glob(pattern)
    ]


def is_tested_elsewhere(module: str) -> bool:
    parts = module.split(".")
    return any(".".join(parts[:length]) in TESTED_ELSEWHERE for length in range(2, len(parts) + 1))


def test_each_module_with_behaviour_has_tests() -> None:
    missing = [
        module
        for module, file in modules()
        if has_behaviour(file.read_text("utf-8"))
        and not own_tests(module)
        and not is_tested_elsewhere(module)
    ]
    assert missing == [], "no tests at the mirrored path of:\n" + "\n".join(missing)


@pytest.mark.parametrize("module", TESTED_ELSEWHERE)
def test_a_module_that_is_tested_elsewhere_exists_and_so_do_its_tests(module: str) -> None:
    package, *parts = module.split(".")
    path = PACKAGES[package].joinpath(*parts)
    assert path.with_suffix(".py").is_file() or path.is_dir()
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
