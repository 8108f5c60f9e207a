"""`make exact-windows`: chapter 3's forest on exact windows, as the book has them, beside ours on tiles. Not a test: half a minute of two cores.

Says where a difference to the published figures comes from: from our windows, or from everything else. HANDBOOK names the file.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stream_app.features.definitions import HANDBOOK
from training.book.protocol import PROTOCOLS, parts_of
from training.data.backfill import backfill
from training.data.dataset import read_transactions
from training.fitting.bench import Bench
from training.fitting.evaluate import card_ranks
from training.fitting.figures import figures_of
from training.fitting.measure import Truth

if TYPE_CHECKING:
    import pandas as pd

    from stream_app.features.compute import Floats, Vectors
    from stream_app.features.plan import Ints

DAY_S = 86_400
DAYS = (1, 7, 30)
DELAY_DAYS = 7
SEEDS = 5


class Windows:
    """Sums over the transactions of an entity in (t - days, t], for every transaction; ties in time in the order of the file."""

    def __init__(self, entities: Ints, times_s: Ints) -> None:
        self._order = np.lexsort((np.arange(len(times_s)), times_s, entities))
        self._base = entities[self._order] * 10**11
        self._times = times_s[self._order]
        self._keys = self._base + self._times

    def up_to(self, values: Floats, days: int) -> Floats:
        """Of each transaction, the sum of the entity's from its beginning to `days` before; 0: the transaction included, none after it."""
        before = np.concatenate([[0.0], np.cumsum(values[self._order])])
        ends = (
            np.arange(1, len(values) + 1)
            if not days
            else np.searchsorted(self._keys, self._base + self._times - days * DAY_S, side="right")
        )
        found = np.empty(len(values))
        found[self._order] = before[ends]
        return found


def exact(frame: pd.DataFrame, ours: Vectors) -> Vectors:
    """The 15 features, the windowed ones over exact windows."""
    times_s, ones = frame["event_time"].to_numpy() // 1000, np.ones(len(frame))
    amounts, frauds = frame["amount"].to_numpy(), frame["is_fraud"].to_numpy().astype(np.float64)
    cards, terminals = (Windows(frame[name].cat.codes.to_numpy().astype(np.int64), times_s) for name in ("card_id", "terminal_id"))
    columns: list[Floats] = [ours[:, i].astype(np.float64) for i in range(3)]
    for days in DAYS:
        count, money = (cards.up_to(values, 0) - cards.up_to(values, days) for values in (ones, amounts))
        columns += [count, money / count]
    for days in DAYS:
        count, found = (terminals.up_to(v, DELAY_DAYS) - terminals.up_to(v, DELAY_DAYS + days) for v in (ones, frauds))
        columns += [count, found / np.maximum(count, 1)]
    return np.column_stack(columns).astype(np.float32)


def main() -> None:
    """Print a line a seed."""
    frame = read_transactions(Path(os.environ.get("HANDBOOK") or "../shared/data/handbook_raw.parquet"), label_delay_days=7)
    protocol, features = PROTOCOLS["handbook-ch3"], backfill(frame, HANDBOOK)
    truth = Truth(frame["event_time"].to_numpy(), card_ranks(frame["card_id"]), features.amounts)
    print(f"published      {protocol.published['random_forest']}")
    parts, forest = parts_of(frame, protocol.folds[0]), protocol.recipes["random_forest"]
    for name, vectors in (("exact windows", exact(frame, features.vectors)), ("tiles", features.vectors)):
        for seed in range(SEEDS):
            print(f"{name:13} {seed}", figures_of(Bench(vectors, truth).tested(parts, replace(forest, seed=seed))))


if __name__ == "__main__":
    main()
