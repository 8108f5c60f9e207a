"""From a fitted classifier to an ONNX graph: by skl2onnx for a logistic regression; trees are laid out here.

Of forests skl2onnx makes the same graph node by node, in up to five seconds for a hundred full trees; here it takes one.
skl2onnx 1.20 cannot export scikit-learn 1.9's histogram gradient boosting: it hands numpy numbers to `onnx`, which takes plain ones only
("Expected an int, got a boolean"). Mending that alone is not enough: ONNX Runtime's trees sum their leaves in float32 and its logistic
function computes 1 - 0.995 there, together up to 9e-7 on the Handbook's data, which changes ranks over scores rounded to 1e-5. With leaves,
thresholds and logistic function in float64 it is 4e-8, for a tenth more time a row; thresholds need no rounding then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, checker, helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from stream_app.errors import ModelError
from stream_app.features.model_metadata import INPUT_NAME, OUTPUT_NAME, RAW_NAME
from training.fitting.calibrate import Calibrated, Calibration, adds_log_odds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stream_app.features.compute import Floats
    from stream_app.features.plan import Ints

OPSET = {"": 17, "ai.onnx.ml": 3}
"""Old enough for every ONNX Runtime of the last years."""
IR_VERSION = 8
"""The one of these opsets."""


def graph_of(model: Any, features: int) -> Any:
    """The ONNX graph of a fitted classifier: float32 [None, features] in; float32 [None, 2] (genuine, fraud) and [None, 1] (raw) out.

    1. the model as it is, to its raw score;
    2. where it is `Calibrated`, the sigmoid of that; else a forest's raw score is a probability already, and the others' go through a
       logistic function. Either in float64: float32 would lose digits that ranks hang on.

    Raises:
        ModelError: skl2onnx laid the model out otherwise than known.
    """
    inner = model.inner if isinstance(model, Calibrated) else model
    if isinstance(inner, HistGradientBoostingClassifier):
        exported = _boosting_graph(inner, features)
    else:
        exported = _linear_graph(inner, features) if adds_log_odds(inner) else _forest_graph(inner, features)
    if isinstance(model, Calibrated):
        return _with_probabilities(exported, model.calibration)
    return _with_probabilities(exported, Calibration(1.0, 0.0) if adds_log_odds(inner) else None)


def _linear_graph(model: Any, features: int) -> Any:
    inputs = [(INPUT_NAME, FloatTensorType([None, features]))]
    options: dict[Any, Any] = {LogisticRegression: {"zipmap": False, "raw_scores": True}}
    exported = to_onnx(model, initial_types=inputs, options=options, target_opset=OPSET)
    last = exported.graph.node[-1]
    if last.op_type != "LinearClassifier" or list(last.output) != ["label", OUTPUT_NAME]:
        raise ModelError(
            f"skl2onnx ended with {last.op_type}, whose outputs are {list(last.output)}. Install the versions of requirements.lock."
        )
    last.output[:] = ["label", "by_class"]
    _add_raw_score(exported.graph)
    return exported


def _add_raw_score(graph: Any) -> None:
    """The second column of `by_class`, fraud's, is the raw score."""
    graph.initializer.append(helper.make_tensor("fraud", TensorProto.INT64, [1], [1]))
    graph.node.append(helper.make_node("Gather", ["by_class", "fraud"], [RAW_NAME], axis=1))


def _with_probabilities(exported: Any, sigmoid: Calibration | None) -> Any:
    """The graph, from its raw score on: to probabilities, and both as its outputs.

    Args:
        exported: ends with the raw score.
        sigmoid: of it; None: it is a probability.
    """
    graph, fraud = exported.graph, "raw_wide"
    graph.initializer.append(constant("one", 1.0))
    graph.node.append(helper.make_node("Cast", [RAW_NAME], ["raw_wide"], to=TensorProto.DOUBLE))
    if sigmoid:
        fraud = "fraud_wide"
        graph.initializer.extend([constant("slope", sigmoid.slope), constant("intercept", sigmoid.intercept)])
        graph.node.extend(
            [
                helper.make_node("Mul", ["raw_wide", "slope"], ["steep"]),
                helper.make_node("Add", ["steep", "intercept"], ["log_odds"]),
                helper.make_node("Sigmoid", ["log_odds"], [fraud]),
            ]
        )
    graph.node.extend(probability_nodes(fraud))
    del graph.output[:]
    graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, width]) for name, width in ((OUTPUT_NAME, 2), (RAW_NAME, 1))
    )
    checker.check_model(exported)
    return exported


def probability_nodes(fraud: str) -> list[Any]:
    """Nodes from the probability of fraud, float64 [rows, 1], to those of either class, float32 [rows, 2]."""
    return [
        helper.make_node("Sub", ["one", fraud], ["genuine_wide"]),
        helper.make_node("Concat", ["genuine_wide", fraud], ["both_wide"], axis=1),
        helper.make_node("Cast", ["both_wide"], [OUTPUT_NAME], to=TensorProto.FLOAT),
    ]


def constant(name: str, value: float) -> Any:
    """A float64 constant of a graph, without dimensions."""
    return helper.make_tensor(name, TensorProto.DOUBLE, [], [value])


def _forest_graph(model: Any, features: int) -> Any:
    """The trees' mean vote."""
    node = helper.make_node("TreeEnsembleClassifier", [INPUT_NAME], ["label", "by_class"], domain="ai.onnx.ml", **_forest(model))
    exported = _model("forest", [node], features)
    _add_raw_score(exported.graph)
    return exported


def _boosting_graph(model: Any, features: int) -> Any:
    """Sum of the trees' leaves and the base, which is a logit."""
    nodes = [
        helper.make_node("Cast", [INPUT_NAME], ["wide"], to=TensorProto.DOUBLE),
        helper.make_node("TreeEnsembleRegressor", ["wide"], [RAW_NAME], domain="ai.onnx.ml", **_boosting(model)),
    ]
    return _model("hist_gradient_boosting", nodes, features)


def _model(name: str, nodes: list[Any], features: int) -> Any:
    """A model of these nodes, without outputs yet."""
    given = helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, [None, features])
    opsets = [helper.make_opsetid(domain, version) for domain, version in OPSET.items()]
    graph = helper.make_graph(nodes, name, [given], [])
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="fraudstream")


def _forest(model: Any) -> dict[str, Any]:
    """The attributes of ONNX's tree ensemble; each leaf votes with its share of frauds, divided by the number of trees."""
    trees = [estimator.tree_ for estimator in model.estimators_]
    tree_ids, node_ids = _numbered([tree.node_count for tree in trees])
    low = np.concatenate([tree.children_left for tree in trees])
    leaf = low < 0
    votes = np.concatenate([tree.value[:, 0, 1] / tree.value[:, 0].sum(axis=1) for tree in trees]) / len(trees)
    return {
        **_structure(tree_ids, node_ids, leaf),
        "nodes_featureids": np.where(leaf, 0, np.concatenate([tree.feature for tree in trees])).tolist(),
        "nodes_hitrates": np.concatenate([tree.weighted_n_node_samples for tree in trees]).tolist(),
        "nodes_values": np.where(leaf, 0, _rounded_down(np.concatenate([tree.threshold for tree in trees]))).tolist(),
        "nodes_truenodeids": np.where(leaf, 0, low).tolist(),
        "nodes_falsenodeids": np.where(leaf, 0, np.concatenate([tree.children_right for tree in trees])).tolist(),
        "class_treeids": tree_ids[leaf].tolist(),
        "class_nodeids": node_ids[leaf].tolist(),
        "class_ids": np.zeros(int(leaf.sum()), dtype=np.int64).tolist(),  # of two classes, ONNX takes the votes of one
        "class_weights": votes[leaf].tolist(),
        "classlabels_int64s": [0, 1],
        "post_transform": "NONE",
    }


def _rounded_down(thresholds: Floats) -> NDArray[np.float32]:
    """The largest float32 at most each threshold: a float32 value goes the same way at either."""
    near = thresholds.astype(np.float32)
    return np.where(near > thresholds, np.nextafter(near, np.float32(-np.inf)), near)


def _numbered(counts: list[int]) -> tuple[Ints, Ints]:
    """Of each node, the number of its tree, and its own within that."""
    return np.repeat(np.arange(len(counts)), counts), np.concatenate([np.arange(count) for count in counts])


def _structure(tree_ids: Ints, node_ids: Ints, leaf: NDArray[np.bool_]) -> dict[str, Any]:
    return {
        "nodes_treeids": tree_ids.tolist(),
        "nodes_nodeids": node_ids.tolist(),
        "nodes_modes": np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
    }


def _boosting(model: Any) -> dict[str, Any]:
    """The attributes of ONNX's tree ensemble.

    scikit-learn keeps the nodes of its predictors under names with an underscore; a test of parity stands guard over them.
    """
    trees = [tree.nodes for (tree,) in model._predictors]  # noqa: SLF001 - there is no public name
    nodes = np.concatenate(trees)
    tree_ids, node_ids = _numbered([len(tree) for tree in trees])
    leaf = nodes["is_leaf"].astype(bool)
    branch = np.where(leaf, 0, 1)
    return {
        **_structure(tree_ids, node_ids, leaf),
        "nodes_featureids": (nodes["feature_idx"] * branch).tolist(),
        "nodes_hitrates": nodes["count"].astype(np.float64).tolist(),
        "nodes_values_as_tensor": _doubles(np.where(leaf, 0, nodes["num_threshold"])),
        "nodes_truenodeids": (nodes["left"].astype(np.int64) * branch).tolist(),
        "nodes_falsenodeids": (nodes["right"].astype(np.int64) * branch).tolist(),
        "nodes_missing_value_tracks_true": (nodes["missing_go_to_left"] * branch).tolist(),
        "target_treeids": tree_ids[leaf].tolist(),
        "target_nodeids": node_ids[leaf].tolist(),
        "target_ids": np.zeros(int(leaf.sum()), dtype=np.int64).tolist(),
        "target_weights_as_tensor": _doubles(nodes["value"][leaf]),
        "base_values_as_tensor": _doubles(np.ravel(model._baseline_prediction)),  # noqa: SLF001
        "n_targets": 1,
        "post_transform": "NONE",
    }


def _doubles(values: Floats) -> Any:
    return helper.make_tensor("values", TensorProto.DOUBLE, [len(values)], values.tolist())
