"""Models: reproducible to the bit, exported to ONNX without a difference, refused with a remedy where a parameter is wrong."""

from __future__ import annotations

import hashlib
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from stream_app.errors import ModelError, SettingsError
from stream_app.explaining import contributions
from stream_app.explaining import shapley as shapley_module
from stream_app.explaining.contributions import Trees
from stream_app.explaining.onnx_graph import additive_of
from stream_app.explaining.shapley import shapley
from stream_app.features.model_metadata import RAW_NAME
from training.fitting.boosted_trees import boosted_trees_of
from training.fitting.calibrate import raw_scores_of
from training.fitting.export import onnx_scores, onnx_session
from training.fitting.fit import KINDS, Hyperparameters, Recipe, fit, importances_of, scores_of
from training.fitting.onnx_converters import graph_of

if TYPE_CHECKING:
    from stream_app.features.compute import Vectors

FEATURES = 6
PARITY = 1e-6
SMALL: dict[str, Hyperparameters] = {
    "logistic_regression": {},
    "random_forest": {"n_estimators": 20},
    "extra_trees": {"n_estimators": 20},
    "hist_gradient_boosting": {"max_iter": 60, "learning_rate": 0.2},
    "lightgbm": {"n_estimators": 60, "learning_rate": 0.2},
    "xgboost": {"n_estimators": 60, "learning_rate": 0.2},
}
CASES = [pytest.param(recipe, id=recipe.model) for recipe in (Recipe(model=name, parameters=SMALL[name]) for name in KINDS)]


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    """Amounts, counts, and a column that says nothing: counts and zeros put many values right at the trees' thresholds."""
    rng = np.random.default_rng(8)
    columns = [rng.exponential(60, 4000), rng.poisson(3, 4000), rng.normal(0, 1, 4000) ** 3, rng.random(4000) < 0.3, rng.beta(1, 9, 4000)]
    return np.column_stack([*columns, np.zeros(4000)]).astype(np.float32)


@pytest.fixture(scope="module")
def is_fraud(vectors: Vectors) -> Any:
    """One in ten; what the first columns say, and chance."""
    risk = vectors[:, 0] / 60 + vectors[:, 1] / 3 + vectors[:, 4] * 5 + np.random.default_rng(9).normal(0, 0.5, len(vectors))
    return risk > np.quantile(risk, 0.9)


def test_every_kind_is_tried_here() -> None:
    """A new kind is given its small parameters above."""
    assert list(SMALL) == list(KINDS)


@pytest.mark.parametrize("recipe", CASES)
def test_the_export_scores_as_scikit_learn_does(recipe: Recipe, vectors: Vectors, is_fraud: Any) -> None:
    """On the data, on the float32 next to each value, and one row at a time."""
    model = fit(vectors, is_fraud, recipe)
    session = onnx_session(graph_of(model, FEATURES).SerializeToString())
    beside = (np.nextafter(vectors, np.float32(np.inf)), np.nextafter(vectors, np.float32(-np.inf)))
    for rows in (vectors, *beside):
        assert np.abs(onnx_scores(session, rows) - scores_of(model, rows)).max() <= PARITY
    alone = np.concatenate([onnx_scores(session, vectors[i : i + 1]) for i in range(50)])
    assert np.abs(alone - scores_of(model, vectors[:50])).max() <= PARITY


EXPLAINING = (contributions._walk, contributions._settle, shapley_module._depths, shapley_module._tree_shap)
"""Those that Python calls; what they call is part of them, and where they come from the cache it is not compiled by itself."""


@pytest.mark.parametrize("recipe", CASES)
def test_to_explain_compiles_nothing_after_warm(recipe: Recipe, vectors: Vectors, is_fraud: Any) -> None:
    """In an image nothing can be compiled later: its file system is read-only."""
    shapley_module.warm()
    compiled = [len(kernel.signatures) for kernel in EXPLAINING]
    assert all(compiled)
    read = additive_of(graph_of(fit(vectors, is_fraud, recipe), FEATURES).SerializeToString())
    read.contributions(vectors[:2])
    shapley(read, vectors[:2])
    assert [len(kernel.signatures) for kernel in EXPLAINING] == compiled


@pytest.mark.parametrize("recipe", CASES)
def test_what_is_read_out_of_the_file_adds_up_to_its_raw_score(recipe: Recipe, vectors: Vectors, is_fraud: Any) -> None:
    """Along the path and by Shapley; the mean of the training data's raw scores is what is expected of a payment.

    XGBoost keeps no counts: its covers, and so its mean, weigh each payment by how unsure the model is of it.
    """
    model = fit(vectors, is_fraud, recipe)
    content = graph_of(model, FEATURES).SerializeToString()
    additive, raw = additive_of(content), onnx_scores(onnx_session(content), vectors, RAW_NAME)
    np.testing.assert_allclose(raw, raw_scores_of(model, vectors), atol=1e-5)
    np.testing.assert_allclose(additive.expected + additive.contributions(vectors).sum(axis=1), raw, atol=1e-5)
    np.testing.assert_allclose(additive.expected + shapley(additive, vectors[:20]).sum(axis=1), raw[:20], atol=1e-5)
    if recipe.model != "xgboost":
        assert additive.expected == pytest.approx(raw.mean(), abs=0.02)
    assert not additive.contributions(vectors)[:, 5].any()


@pytest.mark.parametrize("name", ["lightgbm", "xgboost"])
def test_shapley_values_are_the_librarys_own(name: str, vectors: Vectors, is_fraud: Any) -> None:
    """Each library has TreeSHAP of its own, whose last column is what is expected; ours are read off the ONNX file."""
    model, rows = fit(vectors, is_fraud, Recipe(model=name, parameters=SMALL[name])), vectors[:200]
    if name == "lightgbm":
        theirs = model.predict(rows, pred_contrib=True)
    else:
        theirs = model.get_booster().predict(import_module("xgboost").DMatrix(rows), pred_contribs=True)
    additive = additive_of(graph_of(model, FEATURES).SerializeToString())
    np.testing.assert_allclose(shapley(additive, rows), theirs[:, :-1], atol=1e-4)
    assert additive.expected == pytest.approx(theirs[0, -1], abs=1e-4)


def test_a_forests_nodes_have_the_values_that_scikit_learn_gives_them(vectors: Vectors, is_fraud: Any) -> None:
    """Also the inner ones, with frauds weighted: the share of the weight that is fraud's."""
    recipe = Recipe(parameters=SMALL["random_forest"], fraud_weight=10)
    model = fit(vectors, is_fraud, recipe)
    trees = additive_of(graph_of(model, FEATURES).SerializeToString())
    assert isinstance(trees, Trees)
    expected = np.concatenate([one.tree_.value[:, 0, 1] for one in model.estimators_]) / len(model.estimators_)
    np.testing.assert_allclose(trees.nodes["value"], expected, atol=1e-7)


def test_trees_that_do_not_say_what_came_through_their_nodes_are_refused(vectors: Vectors, is_fraud: Any) -> None:
    """As skl2onnx leaves them; and a graph with neither trees nor weights."""
    exported = graph_of(fit(vectors, is_fraud, Recipe(parameters=SMALL["random_forest"])), FEATURES)
    covers = next(a for n in exported.graph.node for a in n.attribute if a.name == "nodes_hitrates")
    covers.floats[:] = [1.0] * len(covers.floats)
    with pytest.raises(ModelError, match="nodes_hitrates"):
        additive_of(exported.SerializeToString())
    del exported.graph.node[0]
    with pytest.raises(ModelError, match="neither trees nor linear"):
        additive_of(exported.SerializeToString())


def splits_of(model: Any) -> list[tuple[int, float]]:
    """Feature and threshold of every split of every tree."""
    if isinstance(model, HistGradientBoostingClassifier):
        nodes = np.concatenate([tree.nodes[tree.nodes["is_leaf"] == 0] for (tree,) in model._predictors])
        return list(zip(nodes["feature_idx"].tolist(), nodes["num_threshold"].tolist(), strict=True))
    if hasattr(model, "booster_") or hasattr(model, "get_booster"):
        nodes = np.concatenate(boosted_trees_of(model).trees)
        return [(f, t) for f, t in zip(nodes["feature"].tolist(), nodes["split"].tolist(), strict=True) if f >= 0]
    trees = [one.tree_ for one in model.estimators_]
    return [(f, t) for tree in trees for f, t in zip(tree.feature.tolist(), tree.threshold.tolist(), strict=True) if f >= 0]


@pytest.mark.parametrize("name", ["random_forest", "extra_trees", "hist_gradient_boosting", "lightgbm", "xgboost"])
def test_a_tree_splits_exactly_where_it_did(name: str, vectors: Vectors, is_fraud: Any) -> None:
    """Values at the float32 above and below every threshold, where a threshold rounded up would take the other branch."""
    model = fit(vectors, is_fraud, Recipe(model=name, parameters=SMALL[name]))
    rows = []
    for feature, threshold in splits_of(model)[:1500]:
        near = np.float32(threshold)
        for value in (near, np.nextafter(near, np.float32(-np.inf)), np.nextafter(near, np.float32(np.inf))):
            row = np.median(vectors, axis=0).astype(np.float32)
            row[feature] = value
            rows.append(row)
    at = np.array(rows)
    served = onnx_scores(onnx_session(graph_of(model, FEATURES).SerializeToString()), at)
    assert len(at) > 500
    assert np.abs(served - scores_of(model, at)).max() <= PARITY


@pytest.mark.parametrize("recipe", CASES)
def test_the_same_seed_gives_the_same_file(recipe: Recipe, vectors: Vectors, is_fraud: Any) -> None:
    """Byte by byte."""
    files = [graph_of(fit(vectors, is_fraud, recipe), FEATURES).SerializeToString() for _ in range(2)]
    assert len({hashlib.sha256(file).hexdigest() for file in files}) == 1


@pytest.mark.parametrize("name", ["random_forest", "extra_trees"])
def test_another_seed_gives_another_forest(name: str, vectors: Vectors, is_fraud: Any) -> None:
    """The seed is used."""
    first, second = (fit(vectors, is_fraud, Recipe(model=name, parameters=SMALL[name], seed=seed)) for seed in (0, 1))
    assert (scores_of(first, vectors) != scores_of(second, vectors)).any()


@pytest.mark.parametrize("recipe", CASES)
def test_a_heavier_fraud_raises_the_scores(recipe: Recipe, vectors: Vectors, is_fraud: Any) -> None:
    """Ten times the weight moves the mean score up."""
    heavy = Recipe(model=recipe.model, parameters=recipe.parameters, fraud_weight=10)
    means = [scores_of(fit(vectors, is_fraud, one), vectors).mean() for one in (recipe, heavy)]
    assert means[1] > means[0] * 1.2


@pytest.mark.parametrize("recipe", CASES)
def test_importances_are_shares_and_a_constant_feature_has_none(recipe: Recipe, vectors: Vectors, is_fraud: Any) -> None:
    """They add up to 1; the column of zeros has 0."""
    shares = importances_of(fit(vectors, is_fraud, recipe), FEATURES)
    assert shares.shape == (FEATURES,)
    assert shares.sum() == pytest.approx(1)
    assert shares[5] == 0
    assert shares[0] > 0.1


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"model": "perceptron"}, "Choose one of logistic_regression, random_forest"),
        ({"model": "logistic_regression", "parameters": {"n_estimators": 5}}, "'n_estimators' does not belong to logistic_regression"),
        ({"fraud_weight": 0.0}, "it must be above 0"),
        ({"fraud_weight": float("nan")}, "it must be above 0"),
        ({"seed": -1}, "from 0 to 4294967295"),
    ],
)
def test_a_recipe_that_cannot_be_fitted_is_refused(wrong: dict[str, Any], says: str) -> None:
    """Before any work, with what is allowed."""
    with pytest.raises(SettingsError, match=says):
        Recipe(**wrong)


def test_a_value_that_scikit_learn_refuses_is_told_in_one_line(vectors: Vectors, is_fraud: Any) -> None:
    """With its name, and which values are right."""
    with pytest.raises(SettingsError, match=r"extra_trees cannot be fitted .*min_samples_leaf.*Correct the value") as stopped:
        fit(vectors, is_fraud, Recipe(model="extra_trees", parameters={"min_samples_leaf": -3}))
    assert "\n" not in str(stopped.value)


def test_boosting_keeps_its_trees_where_the_export_looks() -> None:
    """scikit-learn's own, unnamed in its documents: another version may move them."""
    model = HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=1).fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
    assert len(model._predictors) == 2
    assert {"is_leaf", "value", "feature_idx", "num_threshold", "left", "right", "missing_go_to_left", "gain"} <= set(
        model._predictors[0][0].nodes.dtype.names
    )
