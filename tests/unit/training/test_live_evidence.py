"""Live evidence as gates of a promotion: not surely worse there either, and of these very versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from stream_app.comparing.live_comparison import AT_OWN_THRESHOLDS
from stream_app.errors import DataError
from tests.unit.comparing.made import Judged, compared
from tests.unit.comparing.test_live_comparison import town
from training.registry.live_evidence import GATED, MOST_BYTES, live_gates, read_live

if TYPE_CHECKING:
    from pathlib import Path

BETTER, WORSE, YOUNG = (
    compared(town(challenger_finds=True), days=10), compared(town(challenger_finds=False), days=10), compared([Judged(9, "a", 0.1, 0.1)])
)  # fmt: skip


def test_a_challenger_that_is_surely_worse_on_live_payments_is_stopped() -> None:
    """By each figure that its interval says so of; one that is better, or no other, passes."""
    assert [gate.name for gate in live_gates(BETTER)] == ["live evidence", *(f"live {name}" for name in GATED)]
    assert [gate.name for gate in live_gates(BETTER) if not gate.passed] == []
    failed = [gate for gate in live_gates(WORSE) if not gate.passed]
    assert {gate.name for gate in failed} == {f"live {name}" for name in GATED}
    assert all(gate.forceable for gate in failed)
    of_saving = next(gate for gate in failed if gate.name == f"live {AT_OWN_THRESHOLDS}")
    assert of_saving.found == "0.0000, the champion's is 95.0000; 95 % interval of the gain -95.0000 to -95.0000"


def test_evidence_that_gives_no_answer_is_none() -> None:
    """What is wanting is told, and no figure."""
    (gate,) = live_gates(YOUNG)
    assert (gate.name, gate.passed, gate.found) == ("live evidence", False, "no payment that both judged is old enough for its label")


def test_a_file_is_read_if_it_is_of_these_versions_and_this_currency(tmp_path: Path) -> None:
    """Else one line says what it is, and how it is made."""
    file = tmp_path / "live.json"
    file.write_bytes(msgspec.json.encode(BETTER))
    assert read_live(file, "5", "3", "EUR") == BETTER
    with pytest.raises(DataError, match=r"compares version 5 with 3; here 6 would take the place of 3\..*--champion 3 --challenger 6"):
        read_live(file, "6", "3", "EUR")
    with pytest.raises(DataError, match="would take the place of none"):
        read_live(file, "5", None, "EUR")
    with pytest.raises(DataError, match="money in EUR, the workers' base currency is USD"):
        read_live(file, "5", "3", "USD")
    with pytest.raises(DataError, match=r"cannot be read: No such file.*fraudstream compare --json"):
        read_live(tmp_path / "none", "5", "3", "EUR")
    for content in (b"{}", b"\xff", b" " * MOST_BYTES + msgspec.json.encode(BETTER)):
        file.write_bytes(content)
        with pytest.raises(DataError, match="is no comparison"):
            read_live(file, "5", "3", "EUR")
