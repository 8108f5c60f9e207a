"""What rows keep has a number: a version that knows only earlier ones leaves such state alone, in place of dropping tiles of it."""

from __future__ import annotations

from stream_app.features.definitions import LAYOUT_VERSION
from stream_app.features.plan import catalogue_plan

LAYOUTS = {
    1: {"card": "b5cc3803", "terminal": "4f9bb2fa", "device": "4d43c70b"},
    2: {"card": "a819a392", "terminal": "4f9bb2fa", "device": "4d43c70b"},
    3: {"card": "92b7da39", "terminal": "5dcd5814", "device": "776118f9"},
    4: {
        "card": "92b7da39",
        "terminal": "5dcd5814",
        "device": "776118f9",
        "merchant": "b2692f7d",
        "mcc": "8dc97ca9",
        "country": "8c7239e0",
        "ip": "3c89dfcd",
    },
}
"""Fingerprints of the rows of each entity, by number. A line is never changed once a version has it."""


def test_rows_that_keep_something_else_have_a_number_of_their_own() -> None:
    """Else workers of the version before write rows without what only this one keeps, and no decision says so."""
    found = {entity.entity: f"{entity.layout.fingerprint:08x}" for entity in catalogue_plan().entities}
    assert LAYOUTS.get(LAYOUT_VERSION) == found, (
        f"Rows keep something else than under LAYOUT_VERSION {LAYOUT_VERSION}: raise it in features/definitions.py, add {found} here, "
        "`python -m tests.unit.formats.written`, and tell in CHANGELOG of a new list of features (docs/how-to/roll-out.md)."
    )
    assert max(LAYOUTS) == LAYOUT_VERSION
