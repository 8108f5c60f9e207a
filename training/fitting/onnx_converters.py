"""From a fitted classifier to an ONNX graph: by skl2onnx for a logistic regression and any classifier that is not known here; trees are laid out here, those of LightGBM and XGBoost too.

Of forests skl2onnx makes the same graph node by node, in up to five seconds for a hundred full trees; here it takes one.
skl2onnx 1.20 cannot export scikit-learn 1.9's histogram gradient boosting: it hands numpy numbers to `onnx`, which takes plain ones only
("Expected an int, got a boolean"). Mending that alone is not enough: ONNX Runtime's trees sum their leaves in float32 and its logistic
function computes 1 - 0.995 there, together up to 9e-7 on the Handbook's data, which changes ranks over scores rounded to 1e-5. With leaves,
thresholds and logistic function in float64 it is 4e-8, for a tenth more time a row; thresholds need no rounding then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, checker, compose, helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from stream_app.errors import ModelError
from stream_app.explaining.contributions import LEAF
from stream_app.features.model_metadata import INPUT_NAME, OUTPUT_NAME, RAW_NAME
from training.fitting.boosted_trees import BoostedTrees, adds_trees, boosted_trees_of
from training.fitting.calibrate import Calibrated, Calibration, adds_log_odds
from training.fitting.ready_model import ReadyModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stream_app.features.compute import Floats
    from stream_app.features.plan import Ints

_FORESTS = RandomForestClassifier, ExtraTreesClassifier
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
        ModelError: skl2onnx cannot convert it, or laid the model out otherwise than known.
    """
    inner = model.inner if isinstance(model, Calibrated) else model
    exported = _raw_graph(inner, features)
    if isinstance(model, Calibrated):
        return _with_probabilities(exported, model.calibration)
    return _with_probabilities(exported, Calibration(1.0, 0.0) if adds_log_odds(inner) else None)


def _raw_graph(model: Any, features: int) -> Any:
    """To the raw score; a pipeline as what skl2onnx makes of its steps, before its classifier."""
    if isinstance(model, ReadyModel):
        return _ready_graph(model, features)
    if isinstance(model, Pipeline) and len(model) == 1:
        return _raw_graph(model[0], features)
    if isinstance(model, Pipeline) and (adds_trees(model[-1]) or isinstance(model[-1], _FORESTS)):
        return _behind(_converted(model[:-1], features, {}), _raw_graph(model[-1], model[-1].n_features_in_), features)
    if adds_trees(model):
        return _boosting_graph(model, features)
    if adds_log_odds(model):
        return _linear_graph(model, features)
    return _forest_graph(model, features) if isinstance(model, _FORESTS) else _any_graph(model, features)


def _converted(model: Any, features: int, options: dict[Any, Any]) -> Any:
    """What skl2onnx makes of a classifier or of a pipeline's steps."""
    inputs = [(INPUT_NAME, FloatTensorType([None, features]))]
    try:
        return to_onnx(model, initial_types=inputs, options=options, target_opset=OPSET)
    except Exception as error:  # noqa: BLE001 - skl2onnx and its converters raise what they will
        why = " ".join(str(error).split())[:200].rstrip(".")
        raise ModelError(f"skl2onnx cannot convert it to ONNX ({type(error).__name__}: {why}).") from None


def _renamed(exported: Any, prefix: str, features: int) -> Any:
    """The same graph under names of its own, given a payment under ours."""
    renamed = compose.add_prefix(exported, prefix)
    numbers = {tensor.name for tensor in renamed.graph.initializer}
    (given,) = [one.name for one in renamed.graph.input if one.name not in numbers]  # old files list numbers as inputs
    renamed.graph.node.insert(0, helper.make_node("Identity", [INPUT_NAME], [given]))
    del renamed.graph.input[:], renamed.metadata_props[:]
    renamed.graph.input.append(_payments(features))
    return renamed


def _behind(before: Any, classifier: Any, features: int) -> Any:
    """A classifier's graph, given what the graph of a pipeline's steps makes of a payment."""
    steps = _renamed(before, "before/", features).graph
    for node in classifier.graph.node:
        node.input[:] = [steps.output[0].name if name == INPUT_NAME else name for name in node.input]
    exported = _model("pipeline", [*steps.node, *classifier.graph.node], features)
    exported.graph.initializer.extend([*steps.initializer, *classifier.graph.initializer])
    return exported


def _ready_graph(model: ReadyModel, features: int) -> Any:
    """A file of another's making; its probability as one column."""
    exported = _renamed(model.graph, "inner/", features)
    exported.graph.initializer.extend(
        [helper.make_tensor("by_payment", TensorProto.INT64, [2], [0, -1]), helper.make_tensor("fraud", TensorProto.INT64, [1], [-1])]
    )
    exported.graph.node.extend(
        [
            helper.make_node("Reshape", [f"inner/{model.output}", "by_payment"], ["by_class"]),
            helper.make_node("Gather", ["by_class", "fraud"], ["of_fraud"], axis=1),
            helper.make_node("Cast", ["of_fraud"], [RAW_NAME], to=TensorProto.FLOAT),
        ]
    )
    return exported


def _any_graph(model: Any, features: int) -> Any:
    """Any other classifier: its probability is the raw score."""
    exported = _renamed(_converted(model, features, {id(model): {"zipmap": False}}), "inner/", features)
    _add_raw_score(exported.graph, exported.graph.output[-1].name)
    return exported


def _linear_graph(model: Any, features: int) -> Any:
    exported = _converted(model, features, {LogisticRegression: {"zipmap": False, "raw_scores": True}})
    last = exported.graph.node[-1]
    if last.op_type != "LinearClassifier" or list(last.output) != ["label", OUTPUT_NAME]:
        raise ModelError(
            f"skl2onnx ended with {last.op_type}, whose outputs are {list(last.output)}. Install the versions of requirements.lock."
        )
    last.output[:] = ["label", "by_class"]
    _add_raw_score(exported.graph)
    return exported


def _add_raw_score(graph: Any, by_class: str = "by_class") -> None:
    """The second column, fraud's, is the raw score."""
    graph.initializer.append(helper.make_tensor("fraud", TensorProto.INT64, [1], [1]))
    graph.node.append(helper.make_node("Gather", [by_class, "fraud"], [RAW_NAME], axis=1))


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
        helper.make_node("TreeEnsembleRegressor", ["wide"], [RAW_NAME], domain="ai.onnx.ml", **_added_up(boosted_trees_of(model))),
    ]
    return _model("boosted_trees", nodes, features)


def _model(name: str, nodes: list[Any], features: int) -> Any:
    """A model of these nodes, without outputs yet."""
    opsets = [helper.make_opsetid(domain, version) for domain, version in OPSET.items()]
    graph = helper.make_graph(nodes, name, [_payments(features)], [])
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="fraudstream")


def _payments(features: int) -> Any:
    return helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, [None, features])


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


def _added_up(boosted: BoostedTrees) -> dict[str, Any]:
    """The attributes of ONNX's tree ensemble."""
    nodes = np.concatenate(boosted.trees)
    tree_ids, node_ids = _numbered([len(tree) for tree in boosted.trees])
    leaf = nodes["feature"] == LEAF
    return {
        **_structure(tree_ids, node_ids, leaf),
        "nodes_featureids": np.where(leaf, 0, nodes["feature"]).tolist(),
        "nodes_hitrates": nodes["cover"].tolist(),
        "nodes_values_as_tensor": _doubles(nodes["split"]),
        "nodes_truenodeids": nodes["low"].tolist(),
        "nodes_falsenodeids": nodes["high"].tolist(),
        "target_treeids": tree_ids[leaf].tolist(),
        "target_nodeids": node_ids[leaf].tolist(),
        "target_ids": np.zeros(int(leaf.sum()), dtype=np.int64).tolist(),
        "target_weights_as_tensor": _doubles(nodes["value"][leaf]),
        "base_values_as_tensor": _doubles(np.array([boosted.base])),
        "n_targets": 1,
        "post_transform": "NONE",
    }


def _doubles(values: Floats) -> Any:
    return helper.make_tensor("values", TensorProto.DOUBLE, [len(values)], values.tolist())
