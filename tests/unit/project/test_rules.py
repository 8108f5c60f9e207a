"""The numbered rules of dangerous modules: each has a test that names it, and no test names one that is not there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

DANGEROUS = ("stream_app/adapters/redis/*.py", "stream_app/delivery/*.py", "stream_app/scoring/already_published.py")
"""Whoever is killed here must not lose or double anything."""
RULED = [
    file
    for file in sorted(f for pattern in DANGEROUS for f in ROOT.glob(pattern))
    if re.search(r"^1\. ", ast.get_docstring(ast.parse(file.read_text())) or "", re.MULTILINE)
]


def told() -> Iterator[str]:
    """What the tests say that they are for, on one line each."""
    for file in (*ROOT.glob("tests/unit/**/test_*.py"), *ROOT.glob("tests/contract/test_*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield " ".join((ast.get_docstring(node) or "").split())


TESTED = [
    (module, number)
    for text in told()
    for numbers, module in re.findall(r"Rules? ([\d, and]+) of `(\w+)`", text)
    for number in re.findall(r"\d+", numbers)
]


def test_modules_with_rules_are_found() -> None:
    """Those of the state in Redis, of the work on a partition, and of what its next owner finds."""
    assert {file.stem for file in RULED} >= {"damage_mark", "row_memory", "store", "write_through", "partition", "already_published"}


@pytest.mark.parametrize("file", RULED, ids=lambda file: file.stem)
def test_each_rule_has_a_test_that_names_it(file: Path) -> None:
    """`Rule 2 of `store`` in the docstring of a test; a rule that was added or dropped is found here."""
    rules = re.findall(r"^(\d+)\. ", ast.get_docstring(ast.parse(file.read_text())) or "", re.MULTILINE)
    assert rules == [str(n + 1) for n in range(len(rules))]
    assert sorted({number for module, number in TESTED if module == file.stem}) == rules
