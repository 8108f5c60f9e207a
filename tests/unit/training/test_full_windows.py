"""A version that needs windows which state does not have in full is not promoted, and is told when it could be."""

from __future__ import annotations

import pytest

from stream_app.errors import Unavailable
from stream_app.features.aggregations import DAY_MS
from stream_app.features.definitions import HANDBOOK, PAYMENTS, VELOCITY, Feature
from stream_app.features.entities import ALL
from stream_app.features.kept_tiles import NOTHING, KeptTiles, goes_on, kept_layouts
from stream_app.features.plan import row_layout_of
from training.registry.full_windows import windows_full
from training.registry.gates import Gate

NOW = 1_790_000_000_000
ALWAYS = goes_on(NOTHING, kept_layouts(ALL), 0)
OLD = goes_on(NOTHING, [row_layout_of(entity, VELOCITY) for entity in ("card", "terminal", "device")], 0)
"""As workers keep it that know `velocity` alone."""


def _gate(*partitions: KeptTiles | None, champion: tuple[Feature, ...] = VELOCITY, candidate: tuple[Feature, ...] = PAYMENTS) -> Gate:
    return windows_full(candidate, champion, lambda: partitions, NOW)


def test_a_window_that_is_not_full_stops_a_version_until_it_is() -> None:
    """The gate says which, how long, and when; of several partitions the one that is last; later it passes."""
    young = goes_on(OLD, kept_layouts(ALL), NOW - DAY_MS // 2)
    gate = _gate(ALWAYS, young)
    assert (gate.passed, gate.forceable) == (False, True)
    assert gate.found.startswith(
        "full will be card_days_since_fraud_30d_delay_7d (the 30 days that ended 7 days ago) at 2026-10-30 02:14 UTC, "
    )
    assert (
        "merchant_risk_30d_delay_7d (the 30 days that ended 7 days ago) at 2026-10-30 02:14 UTC and 25 more; all at 2026-10-30 02:14 UTC"
        in gate.found
    )
    assert windows_full(PAYMENTS, VELOCITY, lambda: [ALWAYS, young], NOW + 39 * DAY_MS).passed
    cards = tuple(feature for feature in PAYMENTS if feature.aggregation == "cards" and feature.entity != "ip")
    gate = _gate(young, candidate=(*VELOCITY, *cards))
    assert gate.found == (
        "full will be terminal_cards_1d (the last 1 day) at 2026-09-22 02:14 UTC, device_cards_1d (the last 1 day) at 2026-09-22 02:14 UTC; "
        "all at 2026-09-22 02:14 UTC"
    ), "an hour has passed"


def test_what_the_champion_needs_too_is_no_reason_to_keep_it() -> None:
    """State that was rebuilt from cut topics: the same features again may be promoted; the first version may not. Nobody asks where nothing is new."""
    rebuilt = goes_on(NOTHING, kept_layouts(ALL), NOW - DAY_MS)
    assert not _gate(rebuilt, champion=()).passed
    asked: list[int] = []
    gate = windows_full(VELOCITY[5:], VELOCITY, lambda: [*asked.__iadd__([1]), rebuilt], NOW)  # type: ignore[list-item]
    assert (gate.passed, asked) == (True, [])
    assert windows_full((Feature("amount"),), (), lambda: [rebuilt], NOW).passed


def test_full_windows_pass_and_so_does_state_that_begins_now() -> None:
    """Nothing is missing there that will come."""
    assert _gate(ALWAYS, ALWAYS).passed
    assert _gate().found == "no worker has written state yet: it begins with all windows"
    assert _gate().passed


def test_state_that_does_not_keep_a_window_or_does_not_say_so_stops_a_version() -> None:
    """Workers of the version before are still there: what to do is said."""
    gate = _gate(ALWAYS, OLD)
    assert not gate.passed
    assert "card_episode_risk_30d_delay_7d, card_first_time_mcc_38d and 33 more: start workers of this version first" in gate.found
    gate = _gate(ALWAYS, None)
    assert (gate.passed, gate.found) == (
        False,
        "the state of partition 1 does not say what it keeps: no worker of this version has taken it over yet",
    )


def test_where_state_cannot_be_asked_the_gate_is_shut_by_its_true_cause() -> None:
    """As where the champion cannot be scored: it may be forced, with a reason."""

    def away() -> list[KeptTiles | None]:
        raise Unavailable("Redis does not answer.")

    gate = windows_full(PAYMENTS, HANDBOOK, away, NOW)
    assert (gate.passed, gate.forceable) == (False, True)
    assert gate.found.endswith("have windows that the champion does not need, and state cannot be asked: Redis does not answer.")


@pytest.mark.parametrize("champion", [(), VELOCITY])
def test_a_version_of_its_own_numbers_needs_no_state(champion: tuple[Feature, ...]) -> None:
    """Nor is it asked for."""

    def never() -> list[KeptTiles | None]:
        raise AssertionError("nobody needs it")

    assert windows_full((Feature("amount"), Feature("attributes", field="v1")), champion, never, NOW).passed
