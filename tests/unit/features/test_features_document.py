"""What docs/features.md says of the features is what the code says."""

from __future__ import annotations

from stream_app.features.profiles import features_table
from tests.conftest import ROOT

DOCUMENT = ROOT / "docs" / "features.md"
BEGIN, END = "<!-- features: made by stream_app.features.profiles.features_table -->\n", "<!-- /features -->"


def test_the_table_of_features_is_current() -> None:
    """Made anew with `python -m tests.unit.features.test_features_document`."""
    text = DOCUMENT.read_text(encoding="utf-8")
    current = text[text.index(BEGIN) + len(BEGIN) : text.index(END)] == f"{features_table()}\n"
    assert current, (
        "docs/features.md is behind the features: `.venv/bin/python -m tests.unit.features.test_features_document` makes it anew"
    )


if __name__ == "__main__":
    before, rest = DOCUMENT.read_text(encoding="utf-8").split(BEGIN, 1)
    DOCUMENT.write_text(f"{before}{BEGIN}{features_table()}\n{END}{rest.split(END, 1)[1]}", encoding="utf-8")
