"""Code versions of prep's units: a number in their keys, and the digest of the code it stands for.

Usage: python scripts/code_versions.py              says whose code has changed since its version
       python scripts/code_versions.py keep NAME..  it makes the same bytes: units stay found
       python scripts/code_versions.py raise NAME.. it makes others: units are made again

The code of a maker is every definition that its method of `Stages` reaches by name, in this
package and beyond the method: functions, classes and constants, without docstrings, comments and
layout. What is listed below as deciding no content is not followed. So a function that is moved
to a new module, or a new one that is called, belongs to it without being listed anywhere.

A test compares as this does, so that neither answer can be forgotten. Which of the two is true a
person says: no digest of code can tell a bug that was mended from a name that was improved, and
making 110 GB of images again for a name costs hours and, till old units are pruned, twice the disk.
"""

import ast
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).resolve().parents[1] / "trainer" / "src"
PACKAGE: Final = "qinstruct_trainer"
RECORD: Final = SOURCE / PACKAGE / "prep" / "code_versions.py"
STAGES: Final = f"{PACKAGE}.prep.stages"
ALL: Final = "*"  # of a module that is imported whole
ALWAYS: Final = ""  # what a module does that defines no name

MAKERS: Final = {
    "builtin": ("Stages.builtin",),
    "listed": ("Stages.fetch_listed",),
    "extract": ("Stages.extract",),
    "gate": ("Stages.gate",),
    "pixels": ("Stages.pixel_units", "Stages.pixels"),
    "merge": ("Stages.merge",),
    "model": ("Stages.model",),
    "index": ("Stages.index",),
}
"""Where the code of each begins. `fetch` has none: what it makes is the source's bytes."""

BESIDE: Final = {
    "contract": "what operator and trainer agree on: values of it that count stand in the key",
    "durable_files": "how bytes come to the disk, whichever they are",
    "environment": "settings of the machine",
    "file_kinds": "words of refusals",
    "imports": "when the garbage collector runs",
    "lease": "who may write",
    "parent_death": "when a process ends",
    "plain_log": "lines of the log",
    "prep.code_versions": "the numbers themselves",
    "prep.processes": "who does the work",
    "prep.progress": "events",
    "prep.sources.addresses": "which hosts may be asked",
    "prep.sources.answers": "HTTP",
    "prep.sources.bandwidth": "how fast",
    "prep.sources.connection": "HTTP",
    "prep.sources.limits": "how much and how long",
    "prep.sources.locations": "where from: it stands in the key",
    "prep.sources.retry": "how often",
    "prep.unit_cache": "where a unit is, not what is in it",
    "prep.unit_manifest": "beside a unit's files",
    "storage_errors": "words of refusals",
}
"""Modules that decide no content, and why. A row covers the modules inside it."""

_VERSION: Final = '    "{name}": CodeVersion({number}, "{digest}"),'
_RECORDED: Final = re.compile(r'^    "(\w+)": CodeVersion\((\d+), "([0-9a-f]*)"\),$', re.MULTILINE)
Definition = tuple[str, str]
"""A module, and a name that it defines at its top: a method as `Class.method`."""


class Module:
    """What a module imports of this package, defines, and does whenever it is imported."""

    def __init__(self, name: str) -> None:
        tree = ast.parse(_file_of(name).read_text("utf-8"))
        self.name = name
        self.imports = dict(_imports(tree))
        self.definitions: dict[str, list[ast.stmt]] = {ALWAYS: []}
        for node in tree.body:
            if not isinstance(node, ast.Import | ast.ImportFrom) and not _is_text(node):
                for each in _defined(node) or [ALWAYS]:
                    self.definitions.setdefault(each, []).append(node)

    def nodes(self, name: str) -> list[ast.stmt]:
        """The statements that define a name; none of a name that is not defined here."""
        top, _, method = name.partition(".")
        found = self.definitions.get(top, [])
        if method:
            inside = (node for one in found for node in getattr(one, "body", ()))
            found = [node for node in inside if getattr(node, "name", None) == method]
        return found

    def named_by(self, name: str) -> Iterator[Definition]:
        """What a definition names, and what its module always does."""
        top, _, method = name.partition(".")
        yield self.name, ALWAYS
        for node in (part for one in self.nodes(name) for part in ast.walk(one)):
            if isinstance(node, ast.Name):
                yield self.imports.get(node.id, (self.name, node.id))
            elif isinstance(node, ast.ImportFrom):
                yield from (target for _, target in _imports(node))
            elif method and isinstance(node, ast.Attribute):  # perhaps self's
                yield self.name, f"{top}.{node.attr}"


def code_of(maker: str) -> dict[Definition, list[ast.stmt]]:
    """Every definition that decides what a maker makes."""
    found: dict[Definition, list[ast.stmt]] = {}
    seen: set[Definition] = set()
    left = [(STAGES, name) for name in MAKERS[maker]]
    while left:
        each = left.pop()
        if each in seen or is_beside(each[0]):
            continue
        seen.add(each)
        module, name = _module(each[0]), each[1]
        if name == ALL:
            left += [(module.name, one) for one in module.definitions]
        elif nodes := module.nodes(name):
            found[each] = nodes
            left += module.named_by(name)
        elif name in module.imports:  # by way of another module
            left.append(module.imports[name])
    return found


def is_beside(module: str) -> bool:
    """Whether it decides no content."""
    inside = module.removeprefix(f"{PACKAGE}.")
    return any(inside == row or inside.startswith(f"{row}.") for row in BESIDE)


def digest_of(maker: str) -> str:
    """16 hexadecimal digits of what the maker's code says."""
    code = sorted(code_of(maker).items())
    said = [[*name, [_said(node) for node in nodes]] for name, nodes in code]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


def recorded(text: str) -> dict[str, tuple[int, str]]:
    """The number and the digest of each maker, as `prep/code_versions.py` has them."""
    return {name: (int(number), digest) for name, number, digest in _RECORDED.findall(text)}


def stale(text: str) -> list[str]:
    """A sentence for each maker whose code has changed."""
    found = recorded(text)
    return [
        f"the code that makes the units of {maker} has changed: if they hold the same bytes as "
        f"before run `python scripts/code_versions.py keep {maker}`, else `raise {maker}`, and "
        "every cache makes them again"
        for maker in MAKERS
        if maker not in found or found[maker][1] != digest_of(maker)
    ]


def renewed(text: str, makers: Iterable[str], step: int) -> str:
    """The record with today's digests of some makers, and their numbers raised by a step."""
    found = recorded(text)
    for maker in makers:
        number, digest = found[maker]
        before = _VERSION.format(name=maker, number=number, digest=digest)
        after = _VERSION.format(name=maker, number=number + step, digest=digest_of(maker))
        text = text.replace(before, after)
    return text


def _imports(tree: ast.AST) -> Iterator[tuple[str, Definition]]:
    """The local names of what is imported of this package, anywhere in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE:
            for each in node.names:
                whole = f"{node.module}.{each.name}"
                is_module = _file_of(whole).is_file()
                target = (whole, ALL) if is_module else (node.module or "", each.name)
                yield each.asname or each.name, target


def _defined(node: ast.stmt) -> list[str]:
    """The names that a statement at the top of a module defines."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        parts = (part for target in targets for part in ast.walk(target))
        return [part.id for part in parts if isinstance(part, ast.Name)]
    return []


def _said(value: object) -> object:
    """A syntax tree as JSON: without docstrings, and alike for every Python."""
    if isinstance(value, ast.AST):
        fields = (
            (name, each) for name, each in ast.iter_fields(value) if name not in ("ctx", "kind")
        )
        said = [[name, _said(each)] for name, each in fields if each is not None and each != []]
        return [type(value).__name__, *said]
    if isinstance(value, list):
        return [_said(each) for each in value if not _is_text(each)]
    return repr(value)


def _is_text(node: object) -> bool:
    """Whether it is a docstring, of a module, a class, a function or a value."""
    is_value = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return is_value and isinstance(node.value.value, str)


def _file_of(module: str) -> Path:
    path = SOURCE.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


_module = cache(Module)


def main() -> None:
    """Renew the record, or say what is stale; the exit status is 1 where something is."""
    word, *makers = sys.argv[1:] or ["check"]
    text = RECORD.read_text("utf-8")
    unknown = [maker for maker in makers if maker not in MAKERS]
    if word not in ("check", "keep", "raise") or unknown or (makers == []) != (word == "check"):
        sys.exit(f"usage: code_versions.py [keep|raise NAME..], of {', '.join(MAKERS)}")
    if word == "check":
        sys.exit("\n".join(stale(text)) or None)
    RECORD.write_text(renewed(text, makers, int(word == "raise")), "utf-8")


if __name__ == "__main__":
    main()
