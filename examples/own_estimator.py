"""Estimators of one's own: `fraudstream train --estimator examples.own_estimator:pipeline`, see docs/how-to/own-model.md."""

# ruff: noqa: INP001 - an example stands alone

from __future__ import annotations

from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler


def pipeline() -> Pipeline:
    """A logistic regression that weighs frauds up, with its scaler: its reasons are read off the model."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=2_000))


def network() -> Pipeline:
    """A small neural network, which does not say what each feature adds: its reasons are sampled."""
    return make_pipeline(StandardScaler(), MLPClassifier((16,), alpha=0.01, early_stopping=True, random_state=0))
