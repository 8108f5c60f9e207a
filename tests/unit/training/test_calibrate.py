"""Calibration: a sigmoid inside the graph that moves no rank, and makes a score the share of frauds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from stream_app.errors import DataError
from stream_app.features.model_metadata import RAW_NAME
from training.data.split import Part, Window
from training.fitting.calibrate import Calibrated, Calibration, calibrate, raw_scores_of, uncalibrated
from training.fitting.evaluate import evaluate, scored
from training.fitting.export import check_parity, onnx_scores, onnx_session, to_onnx_model
from training.fitting.fit import KINDS, Hyperparameters, Recipe, fit, scores_of
from training.fitting.measure import ThresholdTarget, Truth, decided, measured

if TYPE_CHECKING:
    from stream_app.features.compute import Vectors
    from stream_app.features.plan import Ints

ROWS, FEATURES = 6000, 3
SMALL: dict[str, Hyperparameters] = {
    "random_forest": {"n_estimators": 20},
    "extra_trees": {"n_estimators": 20},
    "hist_gradient_boosting": {"max_iter": 40},
    "lightgbm": {"n_estimators": 40},
    "xgboost": {"n_estimators": 40},
}
THIRDS: list[Ints] = [np.arange(start, ROWS, 3) for start in range(3)]
"""Rows to train on, to validate and to test."""


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    """Three columns."""
    return np.random.default_rng(4).normal(0, 1, (ROWS, FEATURES)).astype(np.float32)


@pytest.fixture(scope="module")
def is_fraud(vectors: Vectors) -> Any:
    """One in ten, by two columns and chance."""
    risk = vectors[:, 0] + vectors[:, 1] + np.random.default_rng(5).normal(0, 0.7, ROWS)
    return risk > np.quantile(risk, 0.9)


@pytest.fixture(scope="module", params=list(KINDS))
def model(request: pytest.FixtureRequest, vectors: Vectors, is_fraud: Any) -> Calibrated:
    """Each kind, its frauds weighted tenfold, calibrated."""
    recipe = Recipe(model=request.param, parameters=SMALL.get(request.param, {}), fraud_weight=10)
    return calibrate(fit(vectors[THIRDS[0]], is_fraud[THIRDS[0]], recipe), vectors[THIRDS[1]], is_fraud[THIRDS[1]])


def test_the_graph_has_the_sigmoid_and_both_scores(model: Calibrated, vectors: Vectors) -> None:
    """Raw and calibrated as scikit-learn has them; the gate holds both."""
    content = to_onnx_model(model, FEATURES).SerializeToString()
    session = onnx_session(content)
    raw, score = (onnx_scores(session, vectors, name) for name in (RAW_NAME, "probabilities"))
    np.testing.assert_allclose(raw, raw_scores_of(model.inner, vectors), atol=1e-5)
    np.testing.assert_allclose(score, scores_of(model, vectors), atol=1e-6)
    assert check_parity(model, content, vectors) < 1e-6
    order = np.argsort(raw, kind="stable")
    assert (np.diff(score[order]) >= 0).all()


def test_a_score_becomes_the_share_of_frauds(model: Calibrated, vectors: Vectors, is_fraud: Any) -> None:
    """Frauds that were weighted tenfold inflate the scores before; after, their mean is the share of frauds and the Brier score is lower."""
    rows, truth = vectors[THIRDS[2]], is_fraud[THIRDS[2]]
    before, after = uncalibrated(model, raw_scores_of(model, rows)), scores_of(model, rows)
    np.testing.assert_allclose(before, scores_of(model.inner, rows), atol=1e-6)
    assert before.mean() > 1.5 * truth.mean()
    assert after.mean() == pytest.approx(truth.mean(), rel=0.15)
    assert ((after - truth) ** 2).mean() < ((before - truth) ** 2).mean()


def test_no_decision_changes_and_the_report_has_both(model: Calibrated, vectors: Vectors, is_fraud: Any) -> None:
    """The test at the threshold: the same alerts before and after; the ranks' figures are the same to what rounding does to ties."""
    parts = [Part(Window(name, 0, 1), rows, is_fraud[rows]) for name, rows in zip(("validation", "test"), THIRDS[1:], strict=True)]
    times = np.arange(ROWS, dtype=np.int64) * 3_600_000
    truth = Truth(times, np.arange(ROWS, dtype=np.int64), np.full(ROWS, 10.0))
    content = to_onnx_model(model, FEATURES).SerializeToString()
    found = measured(model, content, vectors, truth, parts[1], decided(content, vectors, truth, parts[0], ThresholdTarget(alerts_a_day=2)))
    assert found.changed == 0
    assert found.test.alerts_a_day == found.uncalibrated.alerts_a_day == found.outcome.alerts_a_day > 0
    assert found.test.average_precision == pytest.approx(found.uncalibrated.average_precision, abs=1e-3)
    assert found.test.brier < found.uncalibrated.brier
    figures = found.figures()
    assert figures["decisions_changed_by_calibration"] == 0
    assert figures["test_brier"] == found.test.brier
    assert figures["uncalibrated_test_brier"] == found.uncalibrated.brier


def test_a_threshold_of_the_score_is_one_of_the_raw_score() -> None:
    """There and back."""
    calibration = Calibration(7.5, -3.0)
    for raw in (-2.0, 0.0, 0.4, 3.0):
        assert calibration.raw(float(calibration.probabilities(np.array([raw]))[0])) == pytest.approx(raw)


def test_a_model_that_ranks_the_wrong_way_is_refused(vectors: Vectors, is_fraud: Any) -> None:
    """A sigmoid that falls would turn the ranks around in silence."""
    model = fit(vectors[THIRDS[0]], is_fraud[THIRDS[0]], Recipe(model="logistic_regression"))
    with pytest.raises(DataError, match="do not score higher"):
        calibrate(model, vectors[THIRDS[1]], ~is_fraud[THIRDS[1]])


def test_the_wish_is_told_in_words() -> None:
    """As the run's parameter has it; a budget goes before a cost."""
    assert str(ThresholdTarget()) == "1 % of payments"
    assert str(ThresholdTarget(50)) == "at most 50 alerts a day"
    assert str(ThresholdTarget(review_cost=4)) == "4 a review against the amount of a missed fraud"
    rng = np.random.default_rng(1)
    what = scored(rng.random(500), rng.random(500) < 0.3, np.arange(500) * 10**7, np.arange(500), rng.random(500) * 100)
    assert ThresholdTarget(2, 1000).threshold(what) == ThresholdTarget(2).threshold(what)
    assert (
        evaluate(what, ThresholdTarget(review_cost=0.01).threshold(what)).recall
        > evaluate(what, ThresholdTarget(review_cost=40).threshold(what)).recall
    )
