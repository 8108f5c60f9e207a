"""Trees whose leaves add up to log-odds, as plain arrays: of scikit-learn's boosting, of LightGBM and of XGBoost.

Each library's trees are laid out anew, because what reasons rest on is lost otherwise: how much training data came through each node.
LightGBM compares and adds in float64, which is kept. XGBoost asks whether a float32 is *below* a threshold, where ONNX's commonest trees ask
"at most": the threshold becomes the float64 just below, so that every float32 goes the same way. It adds up in float32; here that is float64.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier

from stream_app.errors import ModelError
from stream_app.explaining.contributions import LEAF, NODE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

LIGHTGBM, XGBOOST = "lightgbm", "xgboost"


@dataclass(frozen=True, slots=True)
class BoostedTrees:
    """A sum of trees.

    Attributes:
        trees: `NODE` arrays; children are places within their own tree, behind their parent, and the value of what is no leaf means nothing.
        base: added to every sum.
    """

    trees: tuple[NDArray[np.void], ...]
    base: float


def library_of(model: Any) -> str:
    """`lightgbm` or `xgboost`, where a classifier is one of theirs; else an empty text. Neither is imported for it."""
    packages = {base.__module__.partition(".")[0] for base in type(model).__mro__}
    return next((name for name in (LIGHTGBM, XGBOOST) if name in packages), "")


def adds_trees(model: Any) -> bool:
    """Whether `boosted_trees_of` can read a classifier."""
    return bool(library_of(model)) or isinstance(model, HistGradientBoostingClassifier | GradientBoostingClassifier)


def boosted_trees_of(model: Any) -> BoostedTrees:
    """The trees of a fitted classifier of two classes.

    Raises:
        ModelError: it does something else than adding up the leaves that numbers lead to.
    """
    if library_of(model) == LIGHTGBM:
        return _lightgbm(model)
    if library_of(model) == XGBOOST:
        return _xgboost(model)
    return _hist(model) if isinstance(model, HistGradientBoostingClassifier) else _gradient_boosting(model)


def gains_of(model: Any, features: int) -> NDArray[np.float64]:
    """What the splits on each feature of scikit-learn's histogram gradient boosting gained."""
    found = np.zeros(features)
    for (tree,) in model._predictors:  # noqa: SLF001 - scikit-learn has no public name for the gains; pinned by a test
        splits = tree.nodes[tree.nodes["is_leaf"] == 0]
        np.add.at(found, splits["feature_idx"].astype(np.int64), splits["gain"])
    return found


def _hist(model: Any) -> BoostedTrees:
    """scikit-learn keeps the nodes of its predictors under names with an underscore; a test of parity stands guard over them."""
    trees = []
    for (tree,) in model._predictors:  # noqa: SLF001 - there is no public name
        nodes, leaf = tree.nodes, tree.nodes["is_leaf"].astype(bool)
        columns = nodes["feature_idx"], nodes["left"], nodes["right"], nodes["num_threshold"], nodes["value"], nodes["count"]
        trees.append(_tree(leaf, columns))
    return BoostedTrees(tuple(trees), float(np.ravel(model._baseline_prediction)[0]))  # noqa: SLF001


def _gradient_boosting(model: Any) -> BoostedTrees:
    """A threshold is a float64, and a float32 is compared with it; the leaves are shrunk when they are added up."""
    if not isinstance(model.init_, str) and hasattr(model.init_, "class_prior_"):
        genuine, fraud = model.init_.class_prior_
        base = math.log(fraud / genuine)
    elif model.init == "zero":
        base = 0.0
    else:
        raise ModelError("GradientBoostingClassifier begins with an estimator of its own (init), which cannot be exported. Leave init out.")
    trees = []
    for (estimator,) in model.estimators_:
        tree = estimator.tree_
        values = model.learning_rate * tree.value[:, 0, 0]
        columns = tree.feature, tree.children_left, tree.children_right, tree.threshold, values, tree.weighted_n_node_samples
        trees.append(_tree(tree.children_left < 0, columns))
    return BoostedTrees(tuple(trees), base)


def _lightgbm(model: Any) -> BoostedTrees:
    told = model.booster_.dump_model()
    if told["objective"] != "binary sigmoid:1" or told["average_output"]:
        raise ModelError(
            f"LightGBM's objective {told['objective']!r}{' with averaged trees' if told['average_output'] else ''} cannot be exported. "
            "Take objective='binary' and boosting_type='gbdt'."
        )
    return BoostedTrees(tuple(_of_leaves(list(_walked(tree["tree_structure"]))) for tree in told["tree_info"]), 0.0)


def _walked(root: Any) -> Iterator[tuple[float, ...]]:
    """LightGBM's nodes, a parent before its children: feature, low, high, split, value, cover."""
    waiting, places = [root], 1
    while waiting:
        node = waiting.pop(0)
        if "left_child" not in node:
            yield LEAF, 0, 0, 0.0, node.get("leaf_value", 0.0), node.get("leaf_count", 1)
            continue
        if node["decision_type"] != "<=" or node["missing_type"] == "Zero":
            raise ModelError("LightGBM's trees ask for categories, or take zero for missing: neither can be exported. Leave both out.")
        yield node["split_feature"], places, places + 1, node["threshold"], 0.0, node["internal_count"]
        waiting += [node["left_child"], node["right_child"]]
        places += 2


def _of_leaves(rows: Sequence[tuple[float, ...]]) -> NDArray[np.void]:
    return np.array(rows, dtype=[(name, NODE[name]) for name in NODE.names or ()]).astype(NODE)


def _xgboost(model: Any) -> BoostedTrees:
    learner = json.loads(bytes(model.get_booster().save_raw("json")))["learner"]
    booster, objective = learner["gradient_booster"], learner["objective"]["name"]
    if booster["name"] != "gbtree" or objective != "binary:logistic" or not math.isnan(model.missing):
        raise ModelError(
            f"XGBoost's booster {booster['name']} with objective {objective} and missing={model.missing} cannot be exported. "
            "Take booster='gbtree', objective='binary:logistic', and leave `missing` as it is."
        )
    dropped = booster["model"].get("weight_drop", ())
    if any(weight != 1 for weight in dropped):
        raise ModelError(
            "XGBoost's trees were dropped in training (rate_drop) and count for less, which cannot be exported. Leave rate_drop out."
        )
    if any(any(tree["split_type"]) for tree in booster["model"]["trees"]):
        raise ModelError("XGBoost's trees ask for categories, which cannot be exported. Give it numbers only.")
    chance = float(learner["learner_model_param"]["base_score"].strip("[]"))
    return BoostedTrees(tuple(_xgboost_tree(tree) for tree in booster["model"]["trees"]), math.log(chance / (1 - chance)))


def _xgboost_tree(told: Any) -> NDArray[np.void]:
    """Pruned nodes stay in XGBoost's lists: what can be reached from the root is numbered anew."""
    left, right = told["left_children"], told["right_children"]
    order, at = [0], 0
    while at < len(order):
        if left[order[at]] >= 0:
            order += [left[order[at]], right[order[at]]]
        at += 1
    place = {node: number for number, node in enumerate(order)}
    leaf = np.array([left[node] < 0 for node in order])
    conditions = np.array(told["split_conditions"], dtype=np.float32)[order].astype(np.float64)
    columns = (
        np.array(told["split_indices"])[order],
        [place.get(left[node], 0) for node in order],
        [place.get(right[node], 0) for node in order],
        np.nextafter(conditions, -np.inf),
        conditions,
        np.array(told["sum_hessian"])[order],
    )
    return _tree(leaf, columns)


def _tree(leaf: NDArray[np.bool_], columns: Sequence[Any]) -> NDArray[np.void]:
    """A `NODE` array of columns in the order of its fields; of leaves, value and cover alone count."""
    nodes = np.zeros(len(leaf), dtype=NODE)
    for name, column in zip(NODE.names or (), columns, strict=True):
        nodes[name] = column if name in {"value", "cover"} else np.where(leaf, LEAF if name == "feature" else 0, column)
    return nodes
