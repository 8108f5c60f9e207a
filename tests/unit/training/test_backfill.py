"""Features of a history: against brute force over tiles, and against the same events one at a time."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.errors import DataError
from stream_app.features.aggregations import DAY_MS, DAY_S, DELAY_S, HOUR_S
from stream_app.features.compute import compute
from stream_app.features.definitions import CATALOGUE, Feature
from stream_app.features.entities import KINDS, LABELLED
from stream_app.features.plan import compile_plan
from stream_app.messages.money import Money
from training.data import backfill as module
from training.data.backfill import backfill
from training.data.replay import ReplayedHistory

START_MS = 1_522_540_800_000  # 2018-04-01


def history(count: int = 400, days: int = 60, seed: int = 1) -> pd.DataFrame:
    """Random payments in order of time, many at equal times, labelled after 1 to 10 days."""
    rng = np.random.default_rng(seed)
    times = START_MS + np.sort(rng.integers(0, days * 24, count)) * HOUR_S * 1000
    is_fraud = rng.random(count) < 0.15
    labelled = times + rng.integers(DAY_MS, 10 * DAY_MS, count)
    return pd.DataFrame(
        {
            "transaction_id": [f"T{i}" for i in rng.permutation(count)],
            "event_time": times,
            "card_id": pd.Categorical([f"C{i}" for i in rng.integers(0, 5, count)]),
            "terminal_id": pd.Categorical([f"M{i}" for i in rng.integers(0, 3, count)]),
            "merchant_id": _some(rng, count, ["A", "B", ""]),
            "mcc": _some(rng, count, ["5411", "5732"]),
            "country": _some(rng, count, ["FR", "DE", None]),
            "ip": _some(rng, count, ["203.0.113.7", "203.0.113.9", "198.51.100.1", "no address", None]),
            "amount": rng.integers(1, 50_000, count) / 100,
            "currency": pd.Categorical(["EUR"] * count),
            "is_fraud": is_fraud,
            "labelled_at": pd.array(np.where(is_fraud, labelled, 0), dtype="Int64"),
        }
    ).assign(labelled_at=lambda f: f["labelled_at"].where(f["is_fraud"]))


def _some(rng: np.random.Generator, count: int, of: list[str | None]) -> Any:
    return pd.Categorical([of[n] for n in rng.integers(0, len(of), count)])


def _id(entity: str, text: Any) -> str | None:
    """What a field's text says that the entity is, word for word."""
    if not isinstance(text, str) or not text:
        return None
    return (text.rpartition(".")[0] if text.count(".") == 3 else None) if entity == "ip" else text


def oracle(frame: pd.DataFrame, feature: Feature, row: int) -> float:
    """The definition, word for word: payments before this one, and itself, whose tile is in the window."""
    me = frame.iloc[row]
    t, hop, window = me["event_time"], feature.hop_s * 1000, feature.window_s * 1000
    assert feature.entity is not None
    ids = frame[KINDS[feature.entity].field].astype(object).map(lambda text: _id(str(feature.entity), text))
    if pd.isna(ids.iloc[row]):
        return feature.of.neutral
    earlier = (frame["event_time"] < t) | ((frame["event_time"] == t) & (frame["transaction_id"] <= me["transaction_id"]))
    near = frame[(ids == ids.iloc[row]) & earlier]
    if not feature.delay_s:
        near = near[near["event_time"] // hop > (t - window) // hop]
        return float(len(near)) if feature.aggregation == "count" else (near["amount"] * 100).round().sum() / 100 / len(near)
    head = (t - DELAY_S * 1000) // (HOUR_S * 1000) * HOUR_S * 1000
    near = near[(near["event_time"] >= (t - DELAY_S * 1000 - window) // hop * hop) & (near["event_time"] < head)]
    if feature.aggregation == "count":
        return float(len(near))
    frauds = int((near["is_fraud"] & (near["labelled_at"] <= t).fillna(value=False)).sum())
    return min(1.0, frauds / len(near)) if len(near) else 0.0


@pytest.mark.parametrize(
    "feature",
    [f for f in CATALOGUE if f.entity in LABELLED and f.aggregation in {"count", "mean_amount", "risk"}],
    ids=lambda f: f.name,
)
def test_a_backfill_is_what_brute_force_over_the_tiles_says(feature: Feature) -> None:
    """Counts, means and risks of every payment equal the definition's words."""
    frame = history()
    expected = np.array([oracle(frame, feature, row) for row in range(len(frame))], dtype=np.float32)
    np.testing.assert_array_equal(backfill(frame, [feature]).vectors[:, 0], expected)
    assert len(set(expected.tolist())) > 1, "the history must make the feature vary"


def test_a_backfill_equals_its_events_folded_one_at_a_time() -> None:
    """Batching changes nothing: state is carried, not recomputed."""
    frame = history(200)
    plan = compile_plan(CATALOGUE)
    replay, state = module.prepared(plan, frame, Money("EUR"))
    whole = backfill(frame, CATALOGUE).vectors
    for i, row in enumerate(replay.rows.tolist()):
        one = compute(plan, replay.events(slice(i, i + 1)), state)
        if one.scored[0]:
            np.testing.assert_array_equal(one.vectors[0], whole[row])


@given(st.lists(st.integers(0, 260), max_size=6), st.booleans())
def test_events_made_in_runs_are_the_events_made_at_once(cuts: list[int], optional: bool) -> None:  # noqa: FBT001 - drawn
    """Wherever the runs are cut, and whether the history has the optional columns or not; at one time labels come before payments."""
    frame = history(200)
    if optional:
        frame = frame.assign(
            device_id=pd.Categorical([None, "", "D1", "D2"] * 50),
            country=pd.Categorical(["FR", None] * 100),
            channel=pd.Categorical(["online", "pos"] * 100),
            latitude=np.where(np.arange(200) % 3, 48.1, np.nan),
            longitude=2.5,
        )
    replay = ReplayedHistory.of(frame, np.arange(200))
    bounds = sorted({0, *(min(cut, len(replay.rows)) for cut in cuts), len(replay.rows)})
    runs = [replay.events(slice(*pair)) for pair in itertools.pairwise(bounds)]
    whole = replay.events(slice(None))
    for name in ("kinds", "times_ms", "labelled_ms", "ids", "minor", "facts"):
        np.testing.assert_array_equal(np.concatenate([getattr(run, name) for run in runs]), getattr(whole, name))
    for i, entity in enumerate(whole.entities):
        np.testing.assert_array_equal(np.concatenate([run.entities[i] for run in runs]), entity)
    at = np.where(replay.is_label, whole.labelled_ms, whole.times_ms)
    assert (np.lexsort((~replay.is_label, at)) == np.arange(len(at))).all()
    assert (whole.entities[2][replay.is_label] == -1).all()
    assert set(whole.entities[2].tolist()) == ({-1, 1, 2} if optional else {-1})


def test_a_payment_sees_labels_up_to_its_own_time_and_none_later() -> None:
    """A fraud at day 0; payments at day 8, one before its label, one at the same time, one after.

    day   0        8        8 + 1 s    8 + 2 s
          fraud    payment  payment    payment
                            label
    risk           0        1          1
    """
    eight = START_MS + 8 * DAY_MS
    frame = history(4).assign(
        event_time=[START_MS, eight, eight + 1000, eight + 2000],
        card_id=pd.Categorical(list("ABCD")),
        terminal_id=pd.Categorical(["M"] * 4),
    )
    frame = frame.assign(is_fraud=[True, False, False, False], labelled_at=pd.array([eight + 1000, pd.NA, pd.NA, pd.NA], dtype="Int64"))
    assert backfill(frame, [Feature("risk", "terminal", 7 * DAY_S, DELAY_S)]).vectors[:, 0].tolist() == [0, 0, 1, 1]


def test_only_the_vectors_that_are_wanted_are_kept_and_they_are_the_same() -> None:
    """The last days' vectors rest on all payments before them."""
    frame = history()
    wanted = frame["event_time"].to_numpy() >= START_MS + 40 * DAY_MS
    whole, part = backfill(frame), backfill(frame, wanted=wanted)
    np.testing.assert_array_equal(part.vectors[wanted], whole.vectors[wanted])
    np.testing.assert_array_equal(part.scored, whole.scored)
    assert 0 < wanted.sum() < len(frame)


def test_payments_of_one_time_go_by_transaction_id() -> None:
    """The frame's order of a tie does not matter; the vectors come back in the frame's order."""
    frame = history(2).assign(event_time=START_MS, card_id=pd.Categorical(["A", "A"]), transaction_id=["b", "a"])
    assert backfill(frame, [Feature("count", "card", DAY_S)]).vectors[:, 0].tolist() == [2, 1]


def test_refunds_are_not_scored_and_declined_payments_are_not_counted() -> None:
    """Refund, declined payment, payment: the last is the first that counts."""
    frame = history(3).assign(
        card_id=pd.Categorical(["A"] * 3),
        type=pd.Categorical(["refund", "purchase", "purchase"]),
        approved=pd.array([True, False, pd.NA], dtype="boolean"),
    )
    result = backfill(frame, [Feature("count", "card", 30 * DAY_S)])
    assert result.scored.tolist() == [False, True, True]
    assert result.vectors[2, 0] == 1


def test_money_is_the_billing_amount_where_that_is_in_the_base_currency() -> None:
    """Billed in EUR; paid in EUR; neither: counted, its money is not."""
    frame = history(3).assign(
        amount=[1.0, 2.0, 4.0],
        currency=pd.Categorical(["USD", "EUR", "USD"]),
        billing_amount=[8.0, np.nan, 16.0],
        billing_currency=pd.Categorical(["EUR", None, "GBP"]),
    )
    assert module._minor(frame, Money("EUR")).tolist() == [800, 200, -1]
    assert backfill(frame, [Feature("amount")]).unpriced == 1
    with pytest.raises(DataError, match="BASE_CURRENCY"):
        backfill(frame, [Feature("amount")], Money("JPY"))
