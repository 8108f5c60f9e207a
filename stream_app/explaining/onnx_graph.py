"""Reads the trees, or the weights, out of an ONNX file, so that a worker can say why its model scored as it did.

ONNX Runtime runs a graph and shows none of it, and the package `onnx` takes longer to import than there is time: the few fields of the
format that matter here are declared below, with their numbers in `onnx.proto`, and read by protobuf.

A tree ensemble needs the attribute `nodes_hitrates`: how much training data came through each node. `training.fitting.onnx_converters` writes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from msgspec import UnsetType

from stream_app.errors import ModelError
from stream_app.explaining.contributions import LEAF, NODE, Additive, Linear, Scaled, Trees, settled
from stream_app.explaining.sampling import Sampled
from stream_app.features.compute import Floats, Vectors
from stream_app.features.model_metadata import INPUT_NAME

_TREES = {"TreeEnsembleClassifier": "class", "TreeEnsembleRegressor": "target"}
_BRANCH, _LEAF = b"BRANCH_LEQ", b"LEAF"

_FLOAT, _INT64, _STRING, _BYTES, _INT32, _DOUBLE = 2, 3, 9, 12, 5, 1
_FIELDS: dict[str, dict[str, tuple[int, int | str, bool]]] = {
    "Tensor": {"float_data": (4, _FLOAT, True), "raw_data": (9, _BYTES, False), "double_data": (10, _DOUBLE, True)},
    "Attribute": {
        "name": (1, _STRING, False),
        "t": (5, "Tensor", False),
        "floats": (7, _FLOAT, True),
        "ints": (8, _INT64, True),
        "strings": (9, _BYTES, True),
    },
    "Node": {
        "input": (1, _STRING, True),
        "output": (2, _STRING, True),
        "op_type": (4, _STRING, False),
        "attribute": (5, "Attribute", True),
    },
    "Graph": {"node": (1, "Node", True)},
    "Model": {"graph": (7, "Graph", False)},
}
"""Message → field → (number, type or message, repeated)."""


def additive_of(content: bytes) -> Additive:
    """What the model adds up.

    Args:
        content: the ONNX file.

    Raises:
        ModelError: there are neither trees nor a linear model in it, or trees that do not say how much data came through each node.
    """
    nodes = list(_model_class().FromString(content).graph.node)
    adding = [node for node in nodes if node.op_type in _TREES or node.op_type == "LinearClassifier"]
    if len(adding) != 1:
        told = ", ".join(sorted({node.op_type for node in nodes})) or "no graph"
        raise ModelError(
            f"The ONNX model ({told}) is neither trees nor linear: its alerts would have no reasons. Train one with `python -m training.train`."
        )
    (node,) = adding
    scaler = _scaler_before(node, nodes)
    if node.op_type == "LinearClassifier":
        return _linear(_attributes(node), scaler)
    trees = _trees(_attributes(node), _TREES[node.op_type])
    return Scaled(trees, scaler["offset"].astype(np.float32), scaler["scale"].astype(np.float32)) if scaler else trees


def additive_for(content: bytes, reference: tuple[float, ...] | UnsetType, raw: Callable[[Vectors], Floats]) -> Additive:
    """What a model's reasons are made of: read off its graph, or sampled where its metadata have a reference.

    Args:
        content: the ONNX file.
        reference: of its metadata.
        raw: its raw score of each row.

    Raises:
        ModelError: it has no reference and cannot be read.
    """
    if isinstance(reference, UnsetType):
        return additive_of(content)
    begin = np.array([reference], dtype=np.float32)
    try:
        expected = float(raw(begin)[0])
    except Exception as error:  # noqa: BLE001 - the runtime raises classes that it does not export
        raise ModelError(f"The model cannot score the reference of its own reasons: {error}. Train it again.") from None
    return Sampled(raw, begin[0], expected)


def _scaler_before(node: Any, nodes: list[Any]) -> dict[str, Any] | None:
    """What each feature is scaled with before it comes to a node, if it is.

    Raises:
        ModelError: something else is done to them: what the node asks are no features of a payment.
    """
    made_by = {output: one for one in nodes for output in one.output}
    before, scaler = node.input[0], None
    while before != INPUT_NAME:
        by = made_by.get(before)
        if by is None or by.op_type not in {"Cast", "Identity", "Scaler"} or (by.op_type == "Scaler" and scaler):
            raise ModelError(
                f"What {node.op_type} of the ONNX model asks are not the features themselves ({by.op_type if by else before} comes before)."
            )
        scaler = _attributes(by) if by.op_type == "Scaler" else scaler
        before = by.input[0]
    return scaler


def _trees(given: dict[str, Any], leaves: str) -> Trees:
    ids, modes = given["nodes_nodeids"], np.array(given["nodes_modes"])
    roots = np.flatnonzero(ids == 0)
    first = np.repeat(roots, np.diff(np.append(roots, len(ids))))  # of each node, where its tree begins
    branch = modes == _BRANCH
    nodes = np.zeros(len(ids), dtype=NODE)
    nodes["feature"] = np.where(branch, given["nodes_featureids"], LEAF)
    nodes["low"], nodes["high"] = given["nodes_truenodeids"] + first, given["nodes_falsenodeids"] + first
    nodes["split"], nodes["cover"] = given["nodes_values"], given.get("nodes_hitrates", 1.0)
    at = roots[given[f"{leaves}_treeids"]] + given[f"{leaves}_nodeids"]
    nodes["value"][at] = given[f"{leaves}_weights"]
    behind = np.arange(len(ids))[branch]
    ordered = (
        (ids == np.arange(len(ids)) - first).all() and (nodes["low"][branch] > behind).all() and (nodes["high"][branch] > behind).all()
    )
    if not ordered or not (branch | (modes == _LEAF)).all() or set(given[f"{leaves}_ids"].tolist()) != {0}:
        raise ModelError("The trees of the ONNX model are laid out in a way that is not known here. Train it again with this version.")
    inner = nodes["cover"][branch]
    if not np.allclose(inner, nodes["cover"][nodes["low"][branch]] + nodes["cover"][nodes["high"][branch]], rtol=1e-3):
        raise ModelError(
            "The trees of the ONNX model do not say how much training data came through each node (nodes_hitrates), which reasons rest on. "
            "Train it again with this version."
        )
    return Trees(settled(nodes), roots, float(np.sum(given.get("base_values", 0.0))))


def _linear(given: dict[str, Any], scaler: dict[str, Any] | None) -> Linear:
    """The second half of the coefficients is of the class fraud."""
    weights = given["coefficients"][len(given["coefficients"]) // 2 :]
    if scaler is None:
        return Linear(weights, np.zeros(len(weights)), float(given["intercepts"][-1]))
    return Linear(weights * scaler["scale"], scaler["offset"], float(given["intercepts"][-1]))


def _attributes(node: Any) -> dict[str, Any]:
    """Lists of numbers as arrays, under their names; whether a tensor holds them makes no difference."""
    found: dict[str, Any] = {}
    for attribute in node.attribute:
        tensor = attribute.t
        values = tensor.double_data or tensor.float_data or (np.frombuffer(tensor.raw_data, dtype=np.float64) if tensor.raw_data else None)
        if attribute.strings:
            found[attribute.name] = list(attribute.strings)
        elif attribute.ints:
            found[attribute.name] = np.array(attribute.ints, dtype=np.int64)
        else:
            numbers = attribute.floats if values is None else values
            found[attribute.name.removesuffix("_as_tensor")] = np.array(numbers, dtype=np.float64)
    return found


def _model_class() -> Any:
    package = "fraudstream.onnx"
    file = descriptor_pb2.FileDescriptorProto(name="fraudstream/onnx.proto", package=package, syntax="proto2")
    for message, fields in _FIELDS.items():
        described = file.message_type.add(name=message)
        for name, (number, kind, repeated) in fields.items():
            field = described.field.add(name=name, number=number, label=3 if repeated else 1)
            if isinstance(kind, str):
                field.type, field.type_name = 11, f".{package}.{kind}"
            else:
                field.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return cast("Any", message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.Model")))
