"""Since when tiles are kept: against a ring that is kept hour by hour, whatever versions take it over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.features.aggregations import DAY_MS, DAY_S, HORIZON_S, HOUR_S
from stream_app.features.definitions import CATALOGUE, PAYMENTS, VELOCITY, Feature
from stream_app.features.entities import ALL, KEPT_BY_DEFAULT
from stream_app.features.kept_tiles import NOTHING, KeptRing, Ring, full_from_ms, goes_on, kept_layouts, kept_text, read_kept
from stream_app.features.plan import row_layout_of

HOUR_MS = 3_600_000
NOW = 1_790_000_000_000 // DAY_MS * DAY_MS
RING = Ring("card", HOUR_S, 0)


class _Made:
    """Rows with one ring of hours, so many tiles long."""

    def __init__(self, tiles: int) -> None:
        self.entity, self.series = "card", {(HOUR_S, 0): (0, tiles)} if tiles else {}


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9)), min_size=1, max_size=6), st.integers(1, 6))
def test_a_ring_is_full_when_every_hour_of_it_was_kept(versions: list[tuple[int, int]], tiles: int) -> None:
    """Each version has so many tiles for so many hours, none for 0; then comes one that is looked at, hour by hour, until its ring is full."""
    kept, held, hour = NOTHING, set[int](), 1_000
    for length, hours in [*versions, (tiles, 0)]:
        kept = goes_on(kept, [_Made(length)], hour * HOUR_MS)  # type: ignore[list-item]
        held = {at for at in held if at >= hour - length}
        for _ in range(hours):
            held = {at for at in held if at > hour - length} | ({hour} if length else set())
            hour += 1
    full = next(at for at in range(hour, hour + tiles + 1) if set(range(at - tiles, min(at, hour))) <= held)
    since = kept[RING].since_ms // HOUR_MS + tiles
    assert kept[RING].tiles == tiles
    assert max(hour, since) == full


def test_every_window_says_when_it_is_full() -> None:
    """Of a ring since a day ago: an hour is, a month is in 29 days, one that is delayed in a week more; what state was made of keeps all."""
    young = goes_on(NOTHING, kept_layouts(ALL), NOW - DAY_MS)
    named = {feature.name: feature for feature in CATALOGUE}
    at = {name: full_from_ms(named[name], young) for name in named}
    assert at["card_count_1h"] == NOW - DAY_MS + HOUR_MS
    assert at["card_count_30d"] == NOW + 29 * DAY_MS
    assert at["card_first_time_country_38d"] == NOW + HORIZON_S * 1000 - DAY_MS
    assert NOW + 36 * DAY_MS <= (at["terminal_risk_30d_delay_7d"] or 0) <= NOW + 39 * DAY_MS
    assert at["card_seconds_since_last"] == at["amount"] == 0
    assert {full_from_ms(feature, goes_on(NOTHING, kept_layouts(ALL), 0)) for feature in CATALOGUE} == {0}


def test_what_is_new_in_the_rows_begins_when_it_is_kept_and_the_rest_goes_on() -> None:
    """`payments` over state that knew `velocity` alone: old windows are full, new ones are not; and back again."""
    old = goes_on(NOTHING, [row_layout_of(entity, VELOCITY) for entity in ("card", "terminal", "device")], 0)
    assert full_from_ms(Feature("cards", "terminal", DAY_S), old) is None
    new = goes_on(old, kept_layouts(ALL), NOW)
    assert max(full_from_ms(feature, new) or 0 for feature in VELOCITY) <= NOW, "a ring that was made longer holds the shorter one"
    assert full_from_ms(Feature("cards", "terminal", DAY_S), new) == NOW + DAY_MS
    assert full_from_ms(Feature("cards", "terminal", HOUR_S), new) == NOW + HOUR_MS
    again = goes_on(goes_on(new, [row_layout_of("card", VELOCITY)], NOW + DAY_MS), kept_layouts(ALL), NOW + 2 * DAY_MS)
    assert full_from_ms(Feature("cards", "terminal", DAY_S), again) == NOW + 3 * DAY_MS
    assert max(full_from_ms(feature, again) or 0 for feature in VELOCITY if feature.entity == "card") <= NOW + 2 * DAY_MS


def test_a_ring_that_is_shorter_than_a_window_does_not_keep_it() -> None:
    """As rows of a version before had it."""
    feature = Feature("count", "card", DAY_S)
    assert full_from_ms(feature, {RING: KeptRing(23, 0)}) is None
    assert full_from_ms(feature, {RING: KeptRing(24, 0)}) == 0


def test_the_text_in_a_cursor_says_the_same() -> None:
    """In few bytes, for it is written with every batch; what is no such text says nothing."""
    kept = goes_on(goes_on(NOTHING, [row_layout_of("card", VELOCITY)], 0), [row_layout_of(e, PAYMENTS) for e in ("card", "device")], NOW)
    assert read_kept(kept_text(kept)) == kept
    assert kept_text({RING: KeptRing(24, 0), Ring("card", HOUR_S, 3): KeptRing(24, 0)}) == "card 3600 24 0 9"
    assert len(kept_text(goes_on(NOTHING, kept_layouts(KEPT_BY_DEFAULT), NOW))) < 700


@pytest.mark.parametrize("text", ["", "card", "card 3600 24 0", "card 3600 24 0 x", "card 3600 24 0 9;", "card x 24 0 9"])
def test_a_text_that_cannot_be_read_says_nothing(text: str) -> None:
    """So everything begins with the takeover: a window is told as young that is full, and never the other way round."""
    assert read_kept(text) == NOTHING
