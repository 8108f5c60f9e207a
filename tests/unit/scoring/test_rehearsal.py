"""The rehearsal: a model that would break on a payment breaks there, before it is in use."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from stream_app.errors import ModelError
from stream_app.features.compute import Floats, Vectors
from stream_app.messages.money import Money
from stream_app.scoring.ports import Scores
from stream_app.scoring.rehearsal import rehearse
from tests.unit.scoring.test_scorer import FEATURES, FakeClock, FakeModel


class Broken(FakeModel):
    """Scores as it is told."""

    def __init__(self, score: Callable[[Vectors], Vectors], columns: int = len(FEATURES)) -> None:
        self._score = score
        self._columns = columns

    def score(self, vectors: Vectors) -> Scores:
        """See `ports.Model`."""
        return Scores(self._score(vectors), self._score(vectors))

    def contributions(self, vectors: Vectors) -> Floats:
        """See `ports.Model`; of as many features as it is told."""
        return np.tile(np.arange(1.0, self._columns + 1), (len(vectors), 1))


def constant(value: float) -> Callable[[Vectors], Vectors]:
    """One score for all."""
    return lambda vectors: np.full(len(vectors), value, dtype=np.float32)


def test_a_good_model_passes() -> None:
    """Also one that says 0 or 1 of everything."""
    for score in (lambda v: FakeModel().score(v).probability, constant(0.0), constant(1.0)):
        rehearse(Broken(score), Money("EUR"), FakeClock())


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (Broken(constant(1.5)), "<= 1.0"),
        (Broken(constant(-0.1)), "messages came of 20"),
        (Broken(constant(float("nan"))), "messages came of 20"),
        (Broken(lambda vectors: np.zeros((len(vectors), 2), dtype=np.float32)), r"\(1, 2\) scores for 1"),
        (Broken(lambda _: np.zeros(7, dtype=np.float32)), r"\(7,\) scores for 1"),
        (Broken(constant(0.5), columns=len(FEATURES) + 1), "out of range"),
    ],
)
def test_a_model_that_would_break_on_a_payment_is_refused(model: FakeModel, why: str) -> None:
    """Scores that are no probabilities, of another shape, or contributions that do not fit its features."""
    with pytest.raises(ModelError, match=f"Model fake version 7 breaks when it is used.*{why}"):
        rehearse(model, Money("EUR"), FakeClock())
