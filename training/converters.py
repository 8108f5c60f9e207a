"""From a fitted classifier to an ONNX graph: by skl2onnx, but for histogram gradient boosting, which is laid out here.

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

from stream_app.errors import ModelError
from stream_app.model_metadata import INPUT_NAME, OUTPUT_NAME

if TYPE_CHECKING:
    from stream_app.features.compute import Floats

OPSET = {"": 17, "ai.onnx.ml": 3}
"""Old enough for every ONNX Runtime of the last years."""
IR_VERSION = 8
"""The one of these opsets."""


def graph_of(model: Any, features: int) -> Any:
    """The ONNX graph of a fitted classifier: float32 [None, features] in, float32 [None, 2] out (genuine, fraud).

    Raises:
        ModelError: skl2onnx named its output otherwise.
    """
    if isinstance(model, HistGradientBoostingClassifier):
        return _boosting_graph(model, features)
    inputs = [(INPUT_NAME, FloatTensorType([None, features]))]
    exported = to_onnx(model, initial_types=inputs, options={"zipmap": False}, target_opset=OPSET)
    outputs = [output.name for output in exported.graph.output]
    if OUTPUT_NAME not in outputs:
        raise ModelError(f"skl2onnx named the outputs {outputs}, without {OUTPUT_NAME!r}. Install the versions of requirements.lock.")
    return exported


def probability_nodes(logit: str, output: str) -> list[Any]:
    """Nodes from a logit, float64 [rows, 1], to probabilities, float32 [rows, 2]. They need the constant `one`, float64."""
    return [
        helper.make_node("Sigmoid", [logit], [f"{output}_fraud"]),
        helper.make_node("Sub", ["one", f"{output}_fraud"], [f"{output}_genuine"]),
        helper.make_node("Concat", [f"{output}_genuine", f"{output}_fraud"], [f"{output}_float64"], axis=1),
        helper.make_node("Cast", [f"{output}_float64"], [output], to=TensorProto.FLOAT),
    ]


def constant(name: str, value: float) -> Any:
    """A float64 constant of a graph, without dimensions."""
    return helper.make_tensor(name, TensorProto.DOUBLE, [], [value])


def _boosting_graph(model: Any, features: int) -> Any:
    """Sum of the trees' leaves and the base → logistic function."""
    nodes = [
        helper.make_node("Cast", [INPUT_NAME], ["wide"], to=TensorProto.DOUBLE),
        helper.make_node("TreeEnsembleRegressor", ["wide"], ["margin"], domain="ai.onnx.ml", **_trees(model)),
        helper.make_node("Cast", ["margin"], ["logit"], to=TensorProto.DOUBLE),
        *probability_nodes("logit", OUTPUT_NAME),
    ]
    graph = helper.make_graph(
        nodes,
        "hist_gradient_boosting",
        [helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, [None, features])],
        [helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, [None, 2])],
        [constant("one", 1.0)],
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in OPSET.items()]
    exported = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="fraudstream")
    checker.check_model(exported)
    return exported


def _trees(model: Any) -> dict[str, Any]:
    """The attributes of ONNX's tree ensemble.

    scikit-learn keeps the nodes of its predictors under names with an underscore; a test of parity stands guard over them.
    """
    trees = [tree.nodes for (tree,) in model._predictors]  # noqa: SLF001 - there is no public name
    nodes = np.concatenate(trees)
    tree_ids = np.repeat(np.arange(len(trees)), [len(tree) for tree in trees])
    node_ids = np.concatenate([np.arange(len(tree)) for tree in trees])
    leaf = nodes["is_leaf"].astype(bool)
    branch = np.where(leaf, 0, 1)
    return {
        "nodes_treeids": tree_ids.tolist(),
        "nodes_nodeids": node_ids.tolist(),
        "nodes_modes": np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
        "nodes_featureids": (nodes["feature_idx"] * branch).tolist(),
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
