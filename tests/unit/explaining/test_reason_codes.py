"""The documented list of reason codes is the one that alerts use."""

from __future__ import annotations

import re

from stream_app.explaining.reason_codes import reason_code
from stream_app.features.definitions import PAYMENTS, Feature
from tests.conftest import ROOT


def test_every_code_is_documented_once_and_no_other() -> None:
    """The table of docs/reasons.md, in order."""
    text = (ROOT / "docs" / "reasons.md").read_text()
    table = text[text.index("| `code` |") :].split("\n\n", 1)[0]
    assert re.findall(r"^\| `([A-Z_]+)` \|", table, re.MULTILINE) == sorted(
        {reason_code(f) for f in (*PAYMENTS, Feature("attributes", field="v1"))}
    )
