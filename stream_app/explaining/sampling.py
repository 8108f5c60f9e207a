"""What each feature added where the model does not say: sampled Shapley values, of bounded cost. No I/O.

A payment is reached from a reference, the medians of the training data, by giving it one feature's value after another. What a step moves the
raw score by is that feature's in this order; its due is the mean over the orders (Strumbelj and Kononenko, 2014). `ORDERS` of them are drawn,
each with its reverse, always the same: the same payment has the same reasons. Features that are at the reference add nothing and cost nothing.

    expected (the reference's raw score) + sum of the contributions = raw score,

whatever the orders, for each begins and ends at the same two. A payment costs `ORDERS` scores for each feature that differs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stream_app.features.compute import Floats, Vectors
from stream_app.features.plan import Ints

ORDERS = 8


@dataclass(frozen=True, slots=True)
class Sampled:
    """A model that only scores, see `contributions.Additive`.

    Attributes:
        raw: the raw score of each row.
        reference: float32 [features].
        expected: the reference's raw score.
        orders: how many, an even number.
    """

    raw: Callable[[Vectors], Floats]
    reference: Vectors
    expected: float
    orders: int = ORDERS

    def contributions(self, vectors: Vectors) -> Floats:
        """See `contributions.Additive`."""
        added = np.zeros(vectors.shape, dtype=np.float64)
        for row, vector in enumerate(vectors):
            asked = np.flatnonzero(vector != self.reference)
            if len(asked):
                added[row, asked] = self._dues(vector, asked)
        return added

    def _dues(self, vector: Vectors, asked: Ints) -> Floats:
        """Of the features that are not at the reference."""
        places = np.argsort(_orders(len(asked), self.orders), axis=1)  # of each order, when a feature has its turn
        known = places[:, None, :] <= np.arange(len(asked))[None, :, None]
        reached = np.broadcast_to(self.reference, (self.orders, len(asked), len(vector))).copy()
        reached[:, :, asked] = np.where(known, vector[asked], self.reference[asked])
        scores = np.asarray(self.raw(reached.reshape(-1, len(vector))), dtype=np.float64).reshape(self.orders, len(asked))
        moves = np.diff(scores, axis=1, prepend=self.expected)
        return np.asarray(np.take_along_axis(moves, places, axis=1).mean(axis=0))


def _orders(features: int, count: int) -> Ints:
    """Orders of so many features, int64 [count, features]: drawn, but always the same; each stands beside its reverse."""
    drawn = np.random.default_rng(features).permuted(np.tile(np.arange(features), (count // 2, 1)), axis=1)
    return np.concatenate([drawn, drawn[:, ::-1]])
