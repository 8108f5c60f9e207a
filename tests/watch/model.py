"""The models of the check: the fault suite's rule, as old as is wanted, and one that breaks on a payment of a certain amount."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from stream_app.adapters.models.registry import ModelRegistry, _Copy
from stream_app.features.model_metadata import INPUT_NAME, METADATA_KEY, RAW_NAME, Baseline, ModelMetadata
from tests.faults import model as rule
from tests.watch.traffic import payments
from training.fitting.baseline import baseline_of

BREAKS_AT = 1_000_000.0
"""From this amount on the model's look-up goes astray, as one would whose table lacks a value."""


def place(cache: Path, trained_at_ms: int) -> None:
    """Put the model where a worker looks when its registry does not answer."""
    content = file(trained_at_ms)
    copy = _Copy(rule.NAME, rule.ALIAS, rule.VERSION, hashlib.sha256(content).hexdigest())
    ModelRegistry(rule.NO_REGISTRY, cache)._write(content, copy)


def file(trained_at_ms: int) -> bytes:
    """The model's file."""
    model = onnx.load_from_string(rule._onnx())
    _break(model.graph)
    (entry,) = (e for e in model.metadata_props if e.key == METADATA_KEY)
    metadata = msgspec.json.decode(entry.value, type=ModelMetadata)
    metadata = msgspec.structs.replace(metadata, trained_at_ms=trained_at_ms, baseline=_baseline())
    entry.value = msgspec.json.encode(metadata).decode()
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _baseline() -> Baseline:
    """Of payments as the check sends them: each the first of its card within the day."""
    amounts = np.array([p["amount"] for p in payments(2_000)])
    vectors = np.column_stack([amounts, np.ones(len(amounts))]).astype(np.float32)
    scores = [rule.score_of(amount, 1) for amount in amounts]
    return baseline_of(vectors, np.array(scores))


def _break(graph: onnx.GraphProto) -> None:
    """The rule's score times a one that is looked up, in a table of one entry, at the place `amount >= BREAKS_AT`."""
    numbers = (("first", [0], np.int64), ("limit", BREAKS_AT, np.float32), ("table", [1.0], np.float32))
    graph.initializer.extend(numpy_helper.from_array(np.array(value, dtype=kind), name) for name, value, kind in numbers)
    answer = graph.node[-1]
    answer.input[list(answer.input).index(RAW_NAME)] = "fraud"
    nodes = [
        helper.make_node("Gather", [INPUT_NAME, "first"], ["amount"], axis=1),
        helper.make_node("GreaterOrEqual", ["amount", "limit"], ["is_beyond"]),
        helper.make_node("Cast", ["is_beyond"], ["looked_up"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "looked_up"], ["one_each"]),
        helper.make_node("Mul", [RAW_NAME, "one_each"], ["fraud"]),
    ]
    for place_of, node in enumerate(nodes, start=len(graph.node) - 1):
        graph.node.insert(place_of, node)
