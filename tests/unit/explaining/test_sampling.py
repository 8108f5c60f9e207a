"""Sampled Shapley values: they add up, whatever the model; the same payment has the same ones; their cost is bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from stream_app.errors import ModelError
from stream_app.explaining.onnx_graph import additive_for
from stream_app.explaining.sampling import ORDERS, Sampled

if TYPE_CHECKING:
    from stream_app.features.compute import Floats, Vectors

FEATURES = 5
_values = st.lists(st.floats(-3, 3, width=32), min_size=FEATURES, max_size=FEATURES)


def entangled(vectors: Vectors) -> Floats:
    """No sum of its features."""
    wide = vectors.astype(np.float64)
    return np.asarray(np.sin(wide[:, 0] * wide[:, 1]) + wide[:, 2] ** 2 * np.cos(wide[:, 3]) + wide.prod(axis=1))


def sampled(reference: list[float]) -> Sampled:
    """Of the above."""
    begin = np.array(reference, dtype=np.float32)
    return Sampled(entangled, begin, float(entangled(begin[None])[0]))


@given(_values, st.lists(_values, min_size=1, max_size=4))
def test_they_add_up_and_what_is_at_the_reference_adds_nothing(reference: list[float], payments: list[list[float]]) -> None:
    """Whatever the model; and a payment among others has the values that it has alone."""
    model, vectors = sampled(reference), np.array(payments, dtype=np.float32)
    found = model.contributions(vectors)
    np.testing.assert_allclose(model.expected + found.sum(axis=1), entangled(vectors), atol=1e-9)
    assert not found[vectors == model.reference].any()
    np.testing.assert_array_equal(np.concatenate([model.contributions(vectors[i : i + 1]) for i in range(len(vectors))]), found)


def test_a_sum_gets_its_parts_and_two_that_act_together_share_alike() -> None:
    """Each order stands beside its reverse, so what two features do together is halved exactly."""

    def raw(vectors: Vectors) -> Floats:
        return np.asarray(2.0 * vectors[:, 0] - vectors[:, 1] + 6.0 * vectors[:, 2] * vectors[:, 3])

    model = Sampled(raw, np.zeros(FEATURES, dtype=np.float32), 0.0)
    np.testing.assert_allclose(model.contributions(np.ones((1, FEATURES), dtype=np.float32)), [[2, -1, 3, 3, 0]])


def test_a_payment_costs_so_many_scores_for_each_feature_that_differs() -> None:
    """And no more, however many features there are."""
    scored: list[int] = []

    def raw(vectors: Vectors) -> Floats:
        scored.append(len(vectors))
        return vectors.sum(axis=1, dtype=np.float64)

    Sampled(raw, np.zeros(100, dtype=np.float32), 0.0).contributions(np.eye(2, 100, dtype=np.float32) + np.eye(2, 100, 1, dtype=np.float32))
    assert scored == [2 * ORDERS, 2 * ORDERS]


def test_a_reference_that_the_model_cannot_score_is_refused() -> None:
    """In one line; and a model without one must be read off its graph."""

    def raw(_: Vectors) -> Floats:
        raise ValueError("Got invalid dimensions for input: features")

    with pytest.raises(ModelError, match=r"reference of its own reasons: Got invalid dimensions.*Train it again"):
        additive_for(b"", (1.0,), raw)
    with pytest.raises(ModelError, match="neither trees nor linear"):
        additive_for(b"", UNSET, raw)
