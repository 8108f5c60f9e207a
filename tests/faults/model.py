"""The model of the suite: a rule that is known by heart, so that the expected alerts follow from the records alone.

A payment is alerted if its amount, in the base currency, is 300 or more, or if it is the 7th, 14th, 21st … of its card within the day. A payment of the card that
was lost or counted twice moves all later ones: the alerts tell.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper

from stream_app.adapters.models.registry import ModelRegistry, _Copy
from stream_app.features.aggregations import DAY_S
from stream_app.features.definitions import Feature
from stream_app.features.model_metadata import INPUT_NAME, METADATA_KEY, OUTPUT_NAME, RAW_NAME, Bands, ModelMetadata, ParityVectors

NAME, ALIAS, VERSION = "faults", "champion", "1"
NO_REGISTRY = "http://127.0.0.1:1"
"""Nobody answers there: workers take the verified copy on disk."""
FEATURES = (Feature("amount"), Feature("count", "card", DAY_S))
DEAR, EVERY = 300.0, 7
MOST = 300 * EVERY
"""Payments of a card within a day that the model's tree can tell apart."""
_ALERTED, _PASSED, _THRESHOLD = 0.875, 0.125, 0.5  # exact in float32


def is_alerted(amount: float, count_of_day: int) -> bool:
    """The rule."""
    assert count_of_day < MOST, f"{count_of_day} payments of a card within a day: raise MOST"
    return amount >= DEAR or (count_of_day > 0 and count_of_day % EVERY == 0)


def score_of(amount: float, count_of_day: int) -> float:
    """What the model says."""
    return _ALERTED if is_alerted(amount, count_of_day) else _PASSED


def place(cache: Path) -> None:
    """Put the model where a worker looks when its registry does not answer."""
    content = _onnx()
    copy = _Copy(NAME, ALIAS, VERSION, hashlib.sha256(content).hexdigest())
    ModelRegistry(NO_REGISTRY, cache)._write(content, copy)


def _onnx() -> bytes:
    """The rule in ONNX, as one tree: float32 [n, 2] in, the probability of either class and the raw score out."""
    nodes = [
        helper.make_node("TreeEnsembleRegressor", [INPUT_NAME], [RAW_NAME], domain="ai.onnx.ml", **_tree()),
        helper.make_node("Sub", ["one", RAW_NAME], ["genuine"]),
        helper.make_node("Concat", ["genuine", RAW_NAME], [OUTPUT_NAME], axis=1),
    ]
    given = helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, [None, len(FEATURES)])
    answers = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None, width]) for n, width in ((OUTPUT_NAME, 2), (RAW_NAME, 1))]
    graph = helper.make_graph(nodes, "rule", [given], answers, [helper.make_tensor("one", TensorProto.FLOAT, [], [1.0])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)], ir_version=8)
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, msgspec.json.encode(_metadata()).decode()
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _tree() -> dict[str, Any]:
    """Node 0 asks for the amount; then each second node asks whether the count is at most 6, 7, 13, 14 …, with its answer before it.

    0: amount < DEAR?  no → 1, yes → 2: count <= 6?  yes → 3, no → 4: count <= 7?  yes → 5, no → 6: …
    """
    bounds = [bound for turn in range(EVERY, MOST, EVERY) for bound in (turn - 1, turn)]
    asking, answers = list(range(2, 2 + 2 * len(bounds), 2)), list(range(3, 3 + 2 * len(bounds), 2))
    last = asking[-1] + 2
    size = last + 1
    feature, value, low, high, cover = (np.zeros(size, dtype=kind) for kind in (int, float, int, int, float))
    value[0], low[0], high[0] = np.nextafter(np.float32(DEAR), np.float32(0)), 2, 1
    feature[asking], value[asking], low[asking], high[asking] = 1, bounds, answers, np.array(asking) + 2
    leaves = [1, *answers, last]
    cover[leaves] = 1
    cover[asking] = 1 + np.arange(len(bounds), 0, -1)
    cover[0] = len(leaves)
    return {
        "nodes_treeids": [0] * size,
        "nodes_nodeids": list(range(size)),
        "nodes_modes": ["LEAF" if n in set(leaves) else "BRANCH_LEQ" for n in range(size)],
        "nodes_featureids": feature.tolist(),
        "nodes_values": value.tolist(),
        "nodes_hitrates": cover.tolist(),
        "nodes_truenodeids": low.tolist(),
        "nodes_falsenodeids": high.tolist(),
        "target_treeids": [0] * len(leaves),
        "target_nodeids": leaves,
        "target_ids": [0] * len(leaves),
        "target_weights": [_ALERTED, *[_PASSED, _ALERTED] * (len(bounds) // 2), _PASSED],
        "n_targets": 1,
        "post_transform": "NONE",
    }


def _metadata() -> ModelMetadata:
    rows = ((10.0, 1.0), (10.0, 7.0), (300.0, 2.0), (299.99, 0.0), (20.0, 14.0))
    scores = tuple(score_of(amount, int(count)) for amount, count in rows)
    return ModelMetadata(
        features=tuple((f.name, f.hash) for f in FEATURES),
        threshold=_THRESHOLD,
        bands=Bands(0.75, 0.95),
        parity=ParityVectors(rows, scores),
        trained_at_ms=0,
    )
