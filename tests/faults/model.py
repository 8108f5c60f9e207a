"""The model of the suite: a rule that is known by heart, so that the expected alerts follow from the records alone.

A payment is alerted if its amount, in the base currency, is 300 or more, or if it is the 7th, 14th, 21st … of its card within the day. A payment of the card that
was lost or counted twice moves all later ones: the alerts tell.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from stream_app.adapters.registry import ModelRegistry, _Copy
from stream_app.features.definitions import DAY_S, Feature
from stream_app.model_metadata import INPUT_NAME, METADATA_KEY, OUTPUT_NAME, Bands, ModelMetadata, ParityVectors

NAME, ALIAS, VERSION = "faults", "champion", "1"
NO_REGISTRY = "http://127.0.0.1:1"
"""Nobody answers there: workers take the verified copy on disk."""
FEATURES = (Feature("amount"), Feature("count", "card", DAY_S))
DEAR, EVERY = 300.0, 7
_ALERTED, _PASSED, _THRESHOLD = 0.875, 0.125, 0.5  # exact in float32


def is_alerted(amount: float, count_of_day: int) -> bool:
    """The rule."""
    return amount >= DEAR or (count_of_day > 0 and count_of_day % EVERY == 0)


def place(cache: Path) -> None:
    """Put the model where a worker looks when its registry does not answer."""
    content = _onnx()
    copy = _Copy(NAME, ALIAS, VERSION, hashlib.sha256(content).hexdigest())
    ModelRegistry(NO_REGISTRY, cache)._write(content, copy)


def _onnx() -> bytes:
    """The rule in ONNX: float32 [n, 2] in, the probability of either class out."""
    numbers = {"dear": DEAR, "every": EVERY, "none": 0, "yes": _ALERTED, "no": _PASSED, "one": 1}
    constants = [numpy_helper.from_array(np.array(v, dtype=np.float32), n) for n, v in numbers.items()]
    columns = [numpy_helper.from_array(np.array([i], dtype=np.int64), n) for i, n in enumerate(("first", "second"))]
    nodes = [
        helper.make_node("Gather", [INPUT_NAME, "first"], ["amount"], axis=1),
        helper.make_node("Gather", [INPUT_NAME, "second"], ["count"], axis=1),
        helper.make_node("GreaterOrEqual", ["amount", "dear"], ["is_dear"]),
        helper.make_node("Mod", ["count", "every"], ["rest"], fmod=1),
        helper.make_node("Equal", ["rest", "none"], ["is_turn"]),
        helper.make_node("Greater", ["count", "none"], ["is_counted"]),
        helper.make_node("And", ["is_turn", "is_counted"], ["is_its_turn"]),
        helper.make_node("Or", ["is_dear", "is_its_turn"], ["is_fraud"]),
        helper.make_node("Where", ["is_fraud", "yes", "no"], ["fraud"]),
        helper.make_node("Sub", ["one", "fraud"], ["genuine"]),
        helper.make_node("Concat", ["genuine", "fraud"], [OUTPUT_NAME], axis=1),
    ]
    given = helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, [None, len(FEATURES)])
    answer = helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, [None, 2])
    graph = helper.make_graph(nodes, "rule", [given], [answer], constants + columns)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, msgspec.json.encode(_metadata()).decode()
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _metadata() -> ModelMetadata:
    rows = ((10.0, 1.0), (10.0, 7.0), (300.0, 2.0), (299.99, 0.0), (20.0, 14.0))
    scores = tuple(_ALERTED if is_alerted(amount, int(count)) else _PASSED for amount, count in rows)
    return ModelMetadata(
        features=tuple((f.name, f.hash) for f in FEATURES),
        threshold=_THRESHOLD,
        bands=Bands(0.75, 0.95),
        typical=(20.0, 3.0),
        parity=ParityVectors(rows, scores),
        trained_at_ms=0,
    )
