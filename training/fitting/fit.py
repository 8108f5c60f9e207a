"""Fit a model of scikit-learn. The same data, recipe and versions give the same model, to the bit.

Six kinds; each has parameters of its own, with the defaults below. A logistic regression brings its scaler with it. Trees get the
features as they are: a float32 scaler before them could move a value across a split.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from stream_app.errors import SettingsError
from training.fitting.boosted_trees import gains_of
from training.fitting.own_estimator import made
from training.fitting.ready_model import read_ready_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stream_app.features.compute import Floats, Vectors

JOBS = 2
LARGEST_SEED = 2**32 - 1

type Value = int | float | str | bool | None
type Hyperparameters = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of model: how it is made, the parameters it has, and their defaults."""

    make: Callable[..., Any]
    defaults: Hyperparameters


def _logistic_regression(**parameters: Any) -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(**parameters))


def _lightgbm(**parameters: Any) -> Any:
    """Its default importances count splits; gains are what the others have."""
    lightgbm = _imported("lightgbm", "LightGBM")
    return lightgbm.LGBMClassifier(**parameters, importance_type="gain", n_jobs=JOBS, deterministic=True, force_row_wise=True, verbosity=-1)


def _xgboost(class_weight: Mapping[bool, float] | None, **parameters: Any) -> Any:
    """It has no weights of classes, only one of frauds."""
    xgboost = _imported("xgboost", "XGBoost")
    return xgboost.XGBClassifier(**parameters, scale_pos_weight=class_weight[True] if class_weight else 1.0, n_jobs=JOBS)


def _imported(module: str, name: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise SettingsError(
            f"{name} cannot be imported: {error}. Install it with `pip install 'fraudstream[boosting]'`, or take another --model."
        ) from None


_FOREST: Hyperparameters = {"n_estimators": 100, "max_depth": 12, "min_samples_leaf": 5, "max_features": "sqrt"}
_BOOSTING: Hyperparameters = {
    "n_estimators": 100,
    "learning_rate": 0.05,
    "reg_alpha": 0.0,
    "reg_lambda": 1.0,
    "colsample_bytree": 1.0,
}

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "logistic_regression": Kind(_logistic_regression, {"C": 1.0, "max_iter": 1000}),
        "random_forest": Kind(RandomForestClassifier, _FOREST),
        "extra_trees": Kind(ExtraTreesClassifier, _FOREST),
        "hist_gradient_boosting": Kind(
            HistGradientBoostingClassifier,
            {
                "max_iter": 100,
                "learning_rate": 0.05,
                "max_leaf_nodes": 15,
                "max_depth": None,
                "min_samples_leaf": 50,
                "l2_regularization": 1.0,
                "max_features": 1.0,
                "early_stopping": False,  # it would set part of the training days aside by chance, not by time
            },
        ),
        "lightgbm": Kind(
            _lightgbm,
            {
                **_BOOSTING,
                "num_leaves": 15,
                "max_depth": -1,
                "min_child_samples": 50,
                "subsample": 1.0,
                "subsample_freq": 0,
            },
        ),
        "xgboost": Kind(_xgboost, {**_BOOSTING, "max_depth": 4, "min_child_weight": 5.0, "gamma": 0.0, "subsample": 1.0}),
    }
)
"""Every kind of model. The forest's defaults were chosen on two validation windows of the Handbook's data, never on a test window,
with the cost of a row in mind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to fit.

    Attributes:
        model: one of `KINDS`.
        parameters: over the defaults of that kind.
        fraud_weight: how many genuine payments one fraud counts for; 1 leaves the scores near probabilities.
        seed: the same seed gives the same model.
        estimator: in place of `model`, one's own: `module:factory`, see `training.fitting.own_estimator`. It has no other parameters than its own.
        ready: in place of either, an ONNX file that was fitted elsewhere, see `training.fitting.ready_model`.

    Raises:
        SettingsError: the model or a parameter is not known, or a number is out of range, naming what is allowed.
    """

    model: str = "random_forest"
    parameters: Hyperparameters = field(default_factory=dict)
    fraud_weight: float = 1.0
    seed: int = 0
    estimator: str = ""
    ready: Path | None = None

    def __post_init__(self) -> None:
        own = [option for option, given in (("--estimator", self.estimator), ("--onnx", self.ready)) if given]
        if len(own) > 1:
            raise SettingsError("--estimator and --onnx each give the model. Leave one of the two out.")
        if own and (self.parameters or self.fraud_weight != 1 or self.seed or self.model != "random_forest"):
            raise SettingsError(
                f"Kind, parameters, seed and weight of frauds are not for {own[0]}: its model has its own. Leave them out, or {own[0]}."
            )
        if self.model not in KINDS:
            raise SettingsError(f"Model {self.model!r} is not known. Choose one of {', '.join(KINDS)}.")
        for name in self.parameters:
            if name not in KINDS[self.model].defaults:
                allowed = ", ".join(KINDS[self.model].defaults)
                raise SettingsError(f"Parameter {name!r} does not belong to {self.model}. Leave it out, or set one of {allowed}.")
        if not 0 < self.fraud_weight < float("inf"):
            raise SettingsError(f"Fraud weight {self.fraud_weight}: it must be above 0. 1 counts a fraud like a genuine payment.")
        if not 0 <= self.seed <= LARGEST_SEED:
            raise SettingsError(f"Seed {self.seed}: it must be from 0 to {LARGEST_SEED}.")

    @property
    def called(self) -> str:
        """What is fitted, in a word."""
        return self.ready.name if self.ready else self.estimator or self.model

    @property
    def is_own(self) -> bool:
        """Whether the model is the user's, with parameters that are not told here."""
        return bool(self.estimator or self.ready)

    @property
    def all_parameters(self) -> dict[str, Value]:
        """The parameters in full, by name."""
        return {} if self.is_own else {**KINDS[self.model].defaults, **self.parameters}

    def described(self) -> dict[str, Value]:
        """All there is to say of it, flat: model, parameters, weight, seed."""
        if self.is_own:
            return {"model": self.called}
        return {"model": self.model, **self.all_parameters, "fraud_weight": self.fraud_weight, "seed": self.seed}


def fit(vectors: Vectors, is_fraud: NDArray[np.bool_], recipe: Recipe) -> Any:
    """Fit a model.

    Args:
        vectors: float32 [transactions, features].
        is_fraud: what was known of each transaction; both kinds are among them.
        recipe: what to fit.

    Returns:
        A fitted classifier of scikit-learn that predicts on one core: several would add trees up in an order that changes.

    Raises:
        SettingsError: the library refuses a parameter's value.
    """
    if recipe.ready:
        return read_ready_model(recipe.ready, vectors.shape[1])
    model = unfitted(recipe)
    forest = isinstance(model, RandomForestClassifier | ExtraTreesClassifier)
    if forest:
        model.set_params(n_jobs=JOBS)
        vectors = np.asfortranarray(vectors)  # a tree reads one feature at a time: the same trees, sooner
    # Linear algebra and boosting add up in blocks, one a thread: a sum must not hang on how many cores there are.
    with threadpool_limits(limits=1):
        try:
            model.fit(vectors, is_fraud.astype(np.int64) if recipe.estimator else is_fraud)  # skl2onnx takes no classes that are no numbers
        except Exception as error:  # noqa: BLE001 - a library's own: LightGBM's errors are no ValueError
            why = " ".join(str(error).split())[:300].rstrip(".")
            raise SettingsError(f"{recipe.called} cannot be fitted with {dict(recipe.all_parameters)}: {why}. Correct the value.") from None
    return model.set_params(n_jobs=1) if forest else model


def unfitted(recipe: Recipe) -> Any:
    """What is to be fitted.

    Raises:
        SettingsError: a library is not installed, or the factory gives none.
    """
    if recipe.estimator:
        return made(recipe.estimator)
    weights = {False: 1.0, True: recipe.fraud_weight} if recipe.fraud_weight != 1 else None
    return KINDS[recipe.model].make(**recipe.all_parameters, class_weight=weights, random_state=recipe.seed)


def scores_of(model: Any, vectors: Vectors) -> Floats:
    """The model's probability of fraud of each transaction, float64."""
    return np.asarray(model.predict_proba(vectors)[:, 1], dtype=np.float64)


def has_importances(model: Any) -> bool:
    """Whether a fitted model says how much each feature matters to it: not a pipeline, whose classifier may know others."""
    scaled = isinstance(model, Pipeline) and all(isinstance(step, StandardScaler) for step in model[:-1])
    last = model[-1] if scaled else model
    return hasattr(model, "feature_importances_") or isinstance(last, HistGradientBoostingClassifier | LogisticRegression)


def importances_of(model: Any, features: int) -> Floats:
    """How much each feature matters to a model that `has_importances`: mean decrease of impurity, or size of its standardised coefficient.

    Boosted trees: what their splits gained, shared out over the features. They add up to 1.
    """
    if hasattr(model, "feature_importances_"):
        found = np.asarray(model.feature_importances_, dtype=np.float64)  # of LightGBM they are no shares
        return np.asarray(found / max(found.sum(), np.finfo(np.float64).tiny))
    if isinstance(model, HistGradientBoostingClassifier):
        found = gains_of(model, features)
    else:
        found = np.abs((model[-1] if isinstance(model, Pipeline) else model).coef_[0])
    return np.asarray(found / max(found.sum(), np.finfo(np.float64).tiny), dtype=np.float64)
