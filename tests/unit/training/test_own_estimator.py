"""An estimator of one's own: what is taken, and what is refused in one line before anything is fitted."""

from __future__ import annotations

import sys
import time
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from stream_app.errors import ModelError, SettingsError
from training.fitting.export import check_whole_way
from training.fitting.fit import Recipe, fit, importances_of
from training.fitting.own_estimator import made, try_out

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_app.features.compute import Vectors

ROWS, WIDTH = 1_500, 4
VECTORS = np.random.default_rng(0).normal(0, 1, (ROWS, WIDTH)).astype(np.float32)
IS_FRAUD = VECTORS[:, 0] > 1
NAMED = "one_of_ours:make"


@pytest.fixture
def factory(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], str]:
    """Puts a factory into a module, and says its name."""

    def put(make: Callable[[], Any]) -> str:
        module = ModuleType("one_of_ours")
        module.make = make  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "one_of_ours", module)
        return NAMED

    return put


@pytest.mark.parametrize(
    "make",
    [
        lambda: RandomForestClassifier(n_estimators=5, max_depth=4, random_state=0),
        lambda: ExtraTreesClassifier(n_estimators=5, max_depth=4, random_state=0),
        lambda: HistGradientBoostingClassifier(max_iter=5),
        lambda: LogisticRegression(C=0.5),
        lambda: make_pipeline(StandardScaler(), LogisticRegression()),
    ],
    ids=["forest", "extra trees", "boosting", "linear", "pipeline"],
)
def test_an_own_estimator_goes_the_whole_way(factory: Callable[[Any], str], make: Callable[[], Any]) -> None:
    """Tried on a sample, fitted, exported, explained, compared; its importances add up to 1."""
    named = factory(make)
    try_out(named, VECTORS, IS_FRAUD, check_whole_way)
    model = fit(VECTORS, IS_FRAUD, Recipe(estimator=named))
    check_whole_way(model, VECTORS)
    assert importances_of(model, WIDTH).sum() == pytest.approx(1)


def _raises() -> Any:
    raise RuntimeError("no licence")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (_raises, "'one_of_ours:make' cannot be used: RuntimeError: no licence. Nothing was fitted."),
        (lambda: sys.exit(3), "cannot be used: SystemExit: 3"),
        (lambda: None, "gives a NoneType: it must give a classifier of scikit-learn"),
        (lambda: RandomForestClassifier, "gives the class RandomForestClassifier: it must give"),
        (RandomForestRegressor, "gives a RandomForestRegressor: it must give a classifier"),
        (GradientBoostingClassifier, "gives a GradientBoostingClassifier, whose alerts would have no reasons. It may be a random forest"),
        (lambda: make_pipeline(MinMaxScaler(), LogisticRegression()), "gives a pipeline of MinMaxScaler, LogisticRegression, whose alerts"),
    ],
)
def test_what_is_no_estimator_of_use_is_told_in_one_line(factory: Callable[[Any], str], make: Callable[[], Any], told: str) -> None:
    """Before any data is read."""
    with pytest.raises(SettingsError) as refused:
        made(factory(make))
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("named", ["one_of_ours", ":make", "one_of_ours:", "no_such_module:make", "one_of_ours:none"])
def test_a_factory_that_is_not_there_is_told(factory: Callable[[Any], str], named: str) -> None:
    """No module, no function, or no name of either."""
    factory(LogisticRegression)
    with pytest.raises(SettingsError, match=r"write it as MODULE:FACTORY|cannot be used: (ModuleNotFound|Attribute)Error"):
        made(named)


def test_a_factory_that_takes_for_ever_is_given_up(factory: Callable[[Any], str]) -> None:
    """The process goes on: what hangs holds no exit up."""
    named = factory(lambda: time.sleep(3_600))
    with pytest.raises(SettingsError, match=r"took longer than 0\.05 s\. Nothing was fitted"):
        made(named, longest_s=0.05)


def test_what_cannot_go_the_whole_way_is_told_before_it_is_fitted(factory: Callable[[Any], str]) -> None:
    """On a thousand payments, frauds among them; by its true cause."""
    named, seen = factory(LogisticRegression), []

    def run(_model: Any, vectors: Vectors) -> None:
        seen.append(len(vectors))
        raise ModelError("ONNX Runtime scores up to 0.1 away from scikit-learn.")

    with pytest.raises(SettingsError, match=r"on a sample of 1000 payments, cannot be used: ONNX Runtime scores up to 0\.1 away"):
        try_out(named, VECTORS, IS_FRAUD, run)
    assert seen == [1_000]


@pytest.mark.parametrize("more", [{"parameters": {"max_depth": 3}}, {"fraud_weight": 2.0}, {"seed": 1}, {"model": "extra_trees"}])
def test_an_own_estimator_takes_no_options_of_ours(more: dict[str, Any]) -> None:
    """They would be passed over without a word."""
    with pytest.raises(SettingsError, match="of an own estimator are its factory's"):
        Recipe(estimator=NAMED, **more)
