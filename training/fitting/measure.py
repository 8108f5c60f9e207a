"""A fitted model's decisions, chosen on the validation window, and how good it is with them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from stream_app.explaining.sampling import Sampled
from stream_app.features.model_metadata import RAW_NAME
from training.fitting.agreement import Agreement, agreement
from training.fitting.calibrate import uncalibrated
from training.fitting.evaluate import Metrics, Scored, bands_for, evaluate, scored, threshold_by_cost, threshold_for
from training.fitting.export import explained_by_itself, onnx_scores, onnx_session
from training.fitting.guards import Usefulness
from training.fitting.team import REVIEW_COST, TeamFigures, team_figures

if TYPE_CHECKING:
    from stream_app.features.compute import Floats, Vectors
    from stream_app.features.model_metadata import Bands
    from stream_app.features.plan import Ints
    from training.data.split import Part
    from training.fitting.calibrate import Calibrated


@dataclass(frozen=True, slots=True)
class ThresholdTarget:
    """What the threshold follows from: a budget of alerts, or what a review costs; by default 1 % of the payments.

    Attributes:
        alerts_a_day: what the team can work through; it goes before the cost.
        review_cost: of one alert, in the base currency. Without a budget, the threshold is where reviews pay most.
    """

    alerts_a_day: float | None = None
    review_cost: float | None = None

    @property
    def cost(self) -> float:
        """Of one review, for the net saving."""
        return REVIEW_COST if self.review_cost is None else self.review_cost

    @property
    def by_budget(self) -> bool:
        """Whether alerts are counted, not money."""
        return self.alerts_a_day is not None or self.review_cost is None

    def threshold(self, validation: Scored) -> float:
        """See `threshold_for` and `threshold_by_cost`."""
        return threshold_for(validation, self.alerts_a_day) if self.by_budget else threshold_by_cost(validation, self.cost)

    def __str__(self) -> str:
        if self.alerts_a_day is not None:
            return f"at most {self.alerts_a_day:g} alerts a day"
        return "1 % of payments" if self.review_cost is None else f"{self.review_cost:g} a review against the amount of a missed fraud"


@dataclass(frozen=True, slots=True)
class Truth:
    """What is known of transactions beside their vectors, in the frame's order; see `Scored`."""

    times_ms: Ints
    cards: Ints
    amounts: Floats


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model with its decisions, and how good it is.

    Attributes:
        model: with its calibration.
        threshold, bands: chosen on validation.
        validation, test: with calibrated scores.
        uncalibrated: the test with the scores as they were before.
        changed: decisions of the test that calibration changed; 0, as it is monotone.
        forecast: what the team sees, at the threshold, on validation; `outcome` the same on the test.
        scores: of (validation, test), as a worker computes them; `before`: of the test, before calibration.
        sampled: whether reasons are, see `stream_app.explaining.sampling`.
        reasons: their agreement with exact Shapley values, of sampled ones with those of many orders, where the test has an alert.
        usefulness: on validation.
        warnings: what a person must be told before it is used, a sentence each; see `training.fitting.guards`.
    """

    model: Calibrated
    threshold: float
    bands: Bands
    validation: Metrics
    test: Metrics
    uncalibrated: Metrics
    changed: int
    forecast: TeamFigures
    outcome: TeamFigures
    scores: tuple[Scored, Scored]
    before: Scored
    sampled: bool
    reasons: Agreement | None
    usefulness: Usefulness
    warnings: tuple[str, ...] = ()

    def figures(self) -> dict[str, float]:
        """All numbers by name."""
        groups: dict[str, Metrics | TeamFigures | Agreement | None] = {
            "test": self.test,
            "validation": self.validation,
            "uncalibrated_test": self.uncalibrated,
            "team_validation": self.forecast,
            "team_test": self.outcome,
            "reasons": self.reasons,
        }
        found = {f"{group}_{name}": float(value) for group, what in groups.items() if what for name, value in asdict(what).items()}
        calibration = self.model.calibration
        return found | {
            "threshold": self.threshold,
            "step_up": self.bands.step_up,
            "decline": self.bands.decline,
            "calibration_slope": calibration.slope,
            "calibration_intercept": calibration.intercept,
            "decisions_changed_by_calibration": float(self.changed),
        }


@dataclass(frozen=True, slots=True)
class ChosenOnValidation:
    """What was chosen on validation.

    Attributes:
        threshold, bands: of action.
        validation: its transactions, with the scores of ONNX Runtime.
        target: what the threshold follows from.
    """

    threshold: float
    bands: Bands
    validation: Scored
    target: ThresholdTarget


def decided(exported: bytes, vectors: Vectors, truth: Truth, validation: Part, target: ThresholdTarget) -> ChosenOnValidation:
    """Choose the decisions on validation, with the scores of ONNX Runtime, which are the worker's.

    Args:
        exported: the model as an ONNX file.
        vectors: float32, of every transaction.
        truth: of every transaction.
        validation: that part.
        target: what the threshold follows from.

    Raises:
        DataError: all scores are equal.
    """
    what = _scored(exported, vectors, truth, validation)
    threshold = target.threshold(what)
    return ChosenOnValidation(threshold, bands_for(what, threshold), what, target)


def measured(model: Calibrated, exported: bytes, vectors: Vectors, truth: Truth, part: Part, decisions: ChosenOnValidation) -> Fitted:
    """How good the decisions are, on validation and on the test.

    Args:
        model: with its calibration.
        exported: the same as an ONNX file.
        vectors: float32, of every transaction.
        truth: of every transaction.
        part: the test.
        decisions: chosen on validation.
    """
    threshold, validation, cost = decisions.threshold, decisions.validation, decisions.target.cost
    test = _scored(exported, vectors, truth, part)
    raw = onnx_scores(onnx_session(exported), vectors[part.rows], RAW_NAME)
    raw_threshold = model.calibration.raw(threshold)
    before = _with_truth(truth, part, uncalibrated(model, raw))
    alerts, additive = test.scores >= threshold, explained_by_itself(exported)
    return Fitted(
        model=model,
        threshold=threshold,
        bands=decisions.bands,
        validation=evaluate(validation, threshold),
        test=evaluate(test, threshold),
        uncalibrated=evaluate(before, float(uncalibrated(model, np.array([raw_threshold]))[0])),
        changed=int(np.count_nonzero(alerts != (raw >= raw_threshold))),
        forecast=team_figures(validation, threshold, cost),
        outcome=team_figures(test, threshold, cost),
        scores=(validation, test),
        before=before,
        sampled=isinstance(additive, Sampled),
        reasons=agreement(additive, vectors[part.rows[alerts]]) if alerts.any() else None,
        usefulness=Usefulness.of(validation),
    )


def _scored(exported: bytes, vectors: Vectors, truth: Truth, part: Part) -> Scored:
    return _with_truth(truth, part, onnx_scores(onnx_session(exported), vectors[part.rows]))


def _with_truth(truth: Truth, part: Part, scores: Floats) -> Scored:
    return scored(scores, part.is_fraud, truth.times_ms[part.rows], truth.cards[part.rows], truth.amounts[part.rows])
