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


def room(module: str, depth: int) -> str:
    """The first parts of a module's name."""
    return ".".join(module.split(".")[:depth])


def room_graph(inside: str | None = None) -> str:
    """A mermaid graph of the rooms, or of those inside one; an arrow says "imports from"."""
    graph = grimp.build_graph(*PACKAGES)
    modules = {name for name in graph.modules if not inside or name.startswith(f"{inside}.")}
    depth = inside.count(".") + 2 if inside else 2
    arrows = sorted(
        {
            (room(importer, depth), room(imported, depth))
            for importer in modules
            for imported in graph.find_modules_directly_imported_by(importer) & modules
            if room(importer, depth) != room(imported, depth)
            and room(imported, depth) not in PACKAGES
        }
    )
    prefix = f"{inside}." if inside else ""
    lines = ["```mermaid", "graph TD"]
    lines += [
        f"    {importer.removeprefix(prefix)} --> {imported.removeprefix(prefix)}"
        for importer, imported in arrows
    ]
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
    parts = ["## Rooms and what they import", room_graph()]
    parts += ["## Inside the core", room_graph("qinstruct_operator.core"), "## Every module"]
    parts += [module_table(package, folder) for package, folder in PACKAGES.items()]
    sys.stdout.write(written_by_hand + MARKER + "\n" + "\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
