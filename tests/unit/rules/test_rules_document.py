"""What docs/rules.md says of names, features and bounds is what the code says."""

from __future__ import annotations

import pytest

from stream_app.features.definitions import CATALOGUE
from stream_app.features.kept import kept_features
from stream_app.rules import expression, tokens
from stream_app.rules.entries import MAX_ENTRIES, MAX_LISTS
from stream_app.rules.lists import MAX_AT_ONCE
from stream_app.rules.names import names_table
from tests.conftest import ROOT

DOCUMENT = ROOT / "docs" / "rules.md"


def features_text() -> str:
    """The features that rules may ask for beside the catalogue."""
    known = {feature.name for feature in CATALOGUE}
    return f"  {', '.join(f'`{name}`' for name in kept_features() if name not in known)}."


TABLES = {
    "names": ("stream_app.rules.names.names_table", names_table()),
    "features": ("tests.unit.rules.test_rules_document", features_text()),
}


def document(text: str) -> str:
    """The page with its tables as they are here."""
    for name, (by, table) in TABLES.items():
        begin, end = f"<!-- {name}: made by {by} -->\n", f"<!-- /{name} -->"
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{table}\n\n{end}{rest.split(end)[1]}"
    return text


def test_the_tables_are_current() -> None:
    """Made anew with `python -m tests.unit.rules.test_rules_document`."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert document(text) == text, "docs/rules.md is behind: `.venv/bin/python -m tests.unit.rules.test_rules_document` makes it anew"


@pytest.mark.parametrize(
    "told",
    [
        f"{tokens.MAX_BYTES:,} bytes, {tokens.MAX_TOKENS} words and signs, {expression.MAX_NODES} parts, {expression.MAX_DEPTH} levels",
        f"up to {expression.MAX_MEMBERS})",
        f"{MAX_LISTS} lists and {MAX_ENTRIES:,} entries",
        f"more than {MAX_AT_ONCE:,}",
        *(f"`{name}(" for name in expression._FUNCTIONS),
    ],
)
def test_the_bounds_are_current(told: str) -> None:
    """Each as the code has it."""
    assert told in " ".join(DOCUMENT.read_text(encoding="utf-8").split())


if __name__ == "__main__":
    DOCUMENT.write_text(document(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
