"""What docs/features.md says of the features and of their state is what the code says."""

from __future__ import annotations

import re

import pytest

from stream_app.features.packing import largest_packed
from stream_app.features.plan import catalogue_plan
from stream_app.features.profiles import features_table, quantities_table
from tests.conftest import ROOT

DOCUMENT = ROOT / "docs" / "features.md"
TABLES = {"features": features_table(), "quantities": quantities_table()}
BOUNDS: dict[str, str] = {entity.entity: f"{largest_packed(entity.layout):,}" for entity in catalogue_plan().entities}
BOUND = re.compile(r"^(\| (card|terminal|device|merchant|mcc|country|ip) \|[^|]*\|[^|]*\|) ([0-9,]+) \|$", re.MULTILINE)


def _parts(text: str, name: str) -> tuple[str, str, str]:
    """What stands before, within and after the marks of a table."""
    begin = f"<!-- {name}: made by stream_app.features.profiles.{name}_table -->\n"
    before, rest = text.split(begin)
    within, after = rest.split(f"<!-- /{name} -->")
    return before + begin, within, f"<!-- /{name} -->{after}"


@pytest.mark.parametrize("name", TABLES)
def test_the_table_is_current(name: str) -> None:
    """Made anew with `python -m tests.unit.features.test_features_document`."""
    current = _parts(DOCUMENT.read_text(encoding="utf-8"), name)[1] == f"{TABLES[name]}\n"
    assert current, (
        "docs/features.md is behind the features: `.venv/bin/python -m tests.unit.features.test_features_document` makes it anew"
    )


def test_the_bounds_of_packed_rows_are_current() -> None:
    """Of every entity; made anew with the same command. Means and largest are measurements, and stay."""
    assert {entity: bound for _, entity, bound in BOUND.findall(DOCUMENT.read_text(encoding="utf-8"))} == BOUNDS


if __name__ == "__main__":
    text = BOUND.sub(lambda found: f"{found[1]} {BOUNDS[found[2]]} |", DOCUMENT.read_text(encoding="utf-8"))
    for name, table in TABLES.items():
        before, _, after = _parts(text, name)
        text = f"{before}{table}\n{after}"
    DOCUMENT.write_text(text, encoding="utf-8")
