"""What every peer of the benchmark is held against is what our kernel computes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.peers.agreement import share
from benchmarks.peers.oracle import FEATURES, Oracle, Payment
from tests.examples import examples
from training.data.backfill import backfill

START_MS = 1_522_540_800_000
STEPS_MS = st.one_of(
    st.integers(1, 600_000), st.sampled_from([300_000, 3_600_000, 6 * 3_600_000, 86_400_000]), st.integers(1, 9 * 86_400_000)
)
PAYMENTS = st.lists(st.tuples(STEPS_MS, st.integers(0, 1), st.integers(0, 2), st.integers(1, 2_000_000)), min_size=1, max_size=60)


@given(PAYMENTS)
@examples(60)
def test_the_oracle_of_peers_computes_what_the_kernel_computes(drawn: list[tuple[int, int, int, int]]) -> None:
    """To the bit of the model's float32, for payments in the order of their times, over edges of every tile."""
    times = START_MS + np.cumsum([step for step, *_ in drawn])
    payments = [Payment(int(t), f"C{card}", f"T{terminal}", cents) for t, (_, card, terminal, cents) in zip(times, drawn, strict=True)]
    frame = pd.DataFrame({
        "transaction_id": [f"t{n}" for n in range(len(payments))],
        "event_time": [p.time_ms for p in payments],
        "card_id": pd.Categorical([p.card for p in payments]),
        "terminal_id": pd.Categorical([p.terminal for p in payments]),
        "amount": [p.cents / 100 for p in payments],
        "currency": pd.Categorical(["EUR"] * len(payments)),
        "is_fraud": False,
        "labelled_at": pd.array([None] * len(payments), dtype="Int64"),
    })  # fmt: skip
    oracle = Oracle()
    expected = np.array([oracle.vector(p) for p in payments], dtype=np.float32)
    assert np.array_equal(backfill(frame, FEATURES).vectors, expected)


def test_a_score_that_is_missing_or_differs_does_not_agree() -> None:
    """By more than a millionth."""
    expected = {"a": 0.5, "b": 0.25, "c": 0.125, "d": 0.0}
    assert share(expected, {"a": 0.5, "b": 0.2500005, "c": 0.125002}) == 0.5
    assert share(expected, expected) == 1.0
