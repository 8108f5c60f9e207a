"""An estimator of one's own: what is taken, and what is refused in one line before anything is fitted."""

from __future__ import annotations

import sys
import time
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from lightgbm import LGBMClassifier
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler, StandardScaler
from xgboost import XGBClassifier

from stream_app.errors import ModelError, SettingsError
from stream_app.explaining.contributions import Linear, Scaled, Trees
from stream_app.explaining.sampling import Sampled
from training.fitting.calibrate import calibrate, raw_scores_of
from training.fitting.export import TOLERANCE, check_parity, check_whole_way, explained, reference_of, to_onnx_model
from training.fitting.fit import Recipe, fit, has_importances, importances_of
from training.fitting.own_estimator import made, try_out

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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
    ("make", "read"),
    [
        (lambda: RandomForestClassifier(n_estimators=5, max_depth=4, random_state=0), Trees),
        (lambda: GradientBoostingClassifier(n_estimators=5, random_state=0), Trees),
        (lambda: LGBMClassifier(n_estimators=5, verbosity=-1, n_jobs=1), Trees),
        (lambda: make_pipeline(StandardScaler(), LGBMClassifier(n_estimators=5, verbosity=-1, n_jobs=1)), Scaled),
        (lambda: make_pipeline(RobustScaler(), LogisticRegression()), Linear),
        (lambda: make_pipeline(PCA(3), RandomForestClassifier(n_estimators=5, max_depth=4, random_state=0)), Sampled),
        (lambda: make_pipeline(PCA(3), LogisticRegression()), Sampled),
        (GaussianNB, Sampled),
    ],
    ids=["forest", "gradient boosting", "LightGBM", "scaled LightGBM", "scaled linear", "PCA and forest", "PCA and linear", "naive Bayes"],
)
def test_an_own_estimator_goes_the_whole_way(factory: Callable[[Any], str], make: Callable[[], Any], read: type) -> None:
    """Tried, fitted, calibrated, exported, compared; reasons are read off the graph where it says what each feature adds, else sampled."""
    named = factory(make)
    try_out(named, VECTORS, IS_FRAUD, check_whole_way)
    model = calibrate(fit(VECTORS, IS_FRAUD, Recipe(estimator=named)), VECTORS, IS_FRAUD)
    content = to_onnx_model(model, WIDTH).SerializeToString()
    assert check_parity(model, content, VECTORS) <= TOLERANCE
    additive, raw = explained(content, reference_of(content, VECTORS)), raw_scores_of(model, VECTORS[:40])
    assert type(additive) is read
    np.testing.assert_allclose(additive.expected + additive.contributions(VECTORS[:40]).sum(axis=1), raw, atol=1e-5)


def test_importances_are_those_of_features_only(factory: Callable[[Any], str]) -> None:
    """What a pipeline's classifier finds important may be no feature: it is not asked."""
    scaled, mixed = (make_pipeline(step, LogisticRegression()).fit(VECTORS, IS_FRAUD) for step in (StandardScaler(), PCA(3)))
    assert importances_of(scaled, WIDTH).sum() == pytest.approx(1)
    assert has_importances(scaled)
    assert not has_importances(mixed)
    assert not has_importances(GaussianNB().fit(VECTORS, IS_FRAUD))
    assert has_importances(fit(VECTORS, IS_FRAUD, Recipe(estimator=factory(lambda: LogisticRegression(C=0.5)))))


def _raises() -> Any:
    raise RuntimeError("no licence")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (_raises, "'one_of_ours:make' cannot be used: RuntimeError: no licence. Nothing was fitted."),
        (lambda: sys.exit(3), "cannot be used: SystemExit: 3"),
        (lambda: None, "gives nothing (does it `return` it?): it must give a classifier of scikit-learn"),
        (lambda: 3, "gives an int: it must give"),
        (lambda: RandomForestClassifier, "gives the class RandomForestClassifier: it must give"),
        (RandomForestRegressor, "gives a RandomForestRegressor: it must give a classifier"),
        (
            lambda: make_pipeline(StandardScaler(), RandomForestRegressor()),
            "gives a pipeline of StandardScaler, RandomForestRegressor: it must",
        ),
    ],
)
def test_what_is_no_estimator_of_use_is_told_in_one_line(factory: Callable[[Any], str], make: Callable[[], Any], told: str) -> None:
    """Before any data is read."""
    with pytest.raises(SettingsError) as refused:
        made(factory(make))
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        ('RuntimeError("no licence")', "RuntimeError: no licence (line 2 of ours_in_a_file). Nothing"),
        ("NotImplementedError", "cannot be used: NotImplementedError (line 2 of ours_in_a_file). Nothing"),
    ],
)
def test_where_a_factory_raised_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: str, told: str) -> None:
    """The innermost line of its module, also of an error that says nothing."""
    (tmp_path / "ours_in_a_file.py").write_text(f"def inner():\n    raise {raised}\n\n\ndef make():\n    return inner()\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "ours_in_a_file", raising=False)
    with pytest.raises(SettingsError) as refused:
        made("ours_in_a_file:make")
    assert told in str(refused.value)


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


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: VotingClassifier([("a", GaussianNB()), ("b", LogisticRegression())], voting="soft"), "skl2onnx cannot convert it to ONNX"),
        (LinearDiscriminantAnalysis, "away from scikit-learn in one batch"),  # skl2onnx converts it, wrongly
        (
            lambda: LGBMClassifier(n_estimators=2, verbosity=-1, boosting_type="rf", bagging_freq=1, bagging_fraction=0.5),
            "with averaged trees",
        ),
        (lambda: LGBMClassifier(n_estimators=2, verbosity=-1, objective="cross_entropy"), "'cross_entropy' cannot be exported"),
        (lambda: LGBMClassifier(n_estimators=2, verbosity=-1, zero_as_missing=True), "take zero for missing"),
        (lambda: LGBMClassifier(n_estimators=2, verbosity=-1, num_leaves=1), "LightGBMError"),
        (lambda: XGBClassifier(n_estimators=2, booster="gblinear"), "XGBoost's booster gblinear"),
        (lambda: XGBClassifier(n_estimators=9, rate_drop=0.9), "were dropped in training"),
        (lambda: XGBClassifier(n_estimators=2, missing=0.0), "missing=0.0 cannot be exported"),
        (lambda: GradientBoostingClassifier(n_estimators=2, init=LogisticRegression()), "begins with an estimator of its own"),
    ],
    ids=[
        "not converted",
        "converted wrongly",
        "averaged",
        "objective",
        "zero is missing",
        "refused",
        "linear",
        "dropped",
        "missing",
        "begins",
    ],
)
def test_what_cannot_be_exported_is_told_on_a_sample(factory: Callable[[Any], str], make: Callable[[], Any], told: str) -> None:
    """One line with the true cause, before anything is fitted in full."""
    with pytest.raises(SettingsError) as refused:
        try_out(factory(make), VECTORS, IS_FRAUD, check_whole_way)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


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
    with pytest.raises(SettingsError, match="are not for --estimator"):
        Recipe(estimator=NAMED, **more)
