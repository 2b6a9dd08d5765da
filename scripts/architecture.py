"""Print docs/architecture.md with its generated half renewed: the rooms and every module.

Usage: python scripts/architecture.py docs/architecture.md > OUT. The arrows are the imports
that are really there; a module's line is the first line of its docstring.
"""

import ast
import sys
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {
    "qinstruct_operator": ROOT / "operator/src/qinstruct_operator",
    "qinstruct_trainer": ROOT / "trainer/src/qinstruct_trainer",
}
MARKER = "<!-- Below: written by `make generate`; do not edit. -->\n"


def room(module: str) -> str:
    """The first two parts of a module's name: the package's room."""
    return ".".join(module.split(".")[:2])


def room_graph() -> str:
    """A mermaid graph of the rooms; an arrow says "imports from"."""
    graph = grimp.build_graph(*PACKAGES)
    arrows = sorted(
        {
            (room(importer), room(imported))
            for importer in graph.modules
            for imported in graph.find_modules_directly_imported_by(importer)
            if room(importer) != room(imported) and room(imported) not in PACKAGES
        }
    )
    lines = ["```mermaid", "graph TD"]
    lines += [f"    {importer} --> {imported}" for importer, imported in arrows]
    return "\n".join([*lines, "```"])


def module_table(package: str, folder: Path) -> str:
    """One line a module: its name and the first line of its docstring."""
    lines = [f"### {package}", "", "| module | what it is |", "|---|---|"]
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__") or package
        doc = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        lines.append(f"| `{name}` | {doc.splitlines()[0] if doc else ''} |")
    return "\n".join(lines)


def main() -> None:
    """Write the page to standard output."""
    written_by_hand = Path(sys.argv[1]).read_text("utf-8").split(MARKER)[0]
    parts = ["## Rooms and what they import", room_graph(), "## Every module"]
    parts += [module_table(package, folder) for package, folder in PACKAGES.items()]
    sys.stdout.write(written_by_hand + MARKER + "\n" + "\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
