"""What a docstring or an error names of another module is there: `module.name` in backticks, as a reader would look it up."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.unit.project.test_architecture import ROOMS, files, name_of

REFERENCE = re.compile(r"`(?:(?:stream_app|training)\.(?:\w+\.)*)?(\w+)\.(\w+)(?:\.\w+)*`")
OF_FILES = {"env", "json", "py", "v1", "yaml"}
"""How names end of files and of schemas, which other tests hold."""


def defined(body: Iterable[ast.stmt]) -> Iterator[str]:
    """The names at the top of a module, those for the checker alone too."""
    for node in body:
        match node:
            case (
                ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
                | ast.ClassDef(name=name)
                | ast.TypeAlias(name=ast.Name(id=name))
            ):
                yield name
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                yield from (alias.asname or alias.name for alias in names)
            case ast.Assign(targets=targets):
                yield from (name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.If(body=inner) | ast.Try(body=inner):
                yield from defined(inner)


def tree_of(file: Path) -> ast.Module:
    """A module, parsed."""
    return ast.parse(file.read_text(encoding="utf-8"))


MODULES = [file for package in ROOMS for file in files(package)]
NAMES: dict[str, set[str]] = {}
"""Of each module, by its last name: several of one name are looked through together."""
for module in MODULES:
    NAMES.setdefault(module.stem, set()).update(defined(tree_of(module).body))


def unresolved(text: str) -> list[str]:
    """The references that lead nowhere; what begins with no module of ours belongs to somebody else."""
    found = [(module, name) for module, name in REFERENCE.findall(text) if module in NAMES and name not in OF_FILES]
    return [f"{module}.{name}" for module, name in found if name not in NAMES[module] | NAMES.keys()]


def test_a_name_that_is_gone_is_found() -> None:
    """`ENTITIES` went from one module to another; aiokafka's names are its own."""
    text = (
        "See `definitions.ENTITIES`, `aggregations.ENTITIES`, `stream_app.features.plan.Nothing`, `errors.py`, `aiokafka.errors.Nothing`."
    )
    assert unresolved(text) == ["definitions.ENTITIES", "plan.Nothing"]


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_what_a_text_names_of_another_module_is_there(file: Path) -> None:
    """Docstrings, and texts for people."""
    texts = [node.value for node in ast.walk(tree_of(file)) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert [name for text in texts for name in unresolved(text)] == []
