"""ONNX: names, metadata, and the gate between scikit-learn and ONNX Runtime."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest

from stream_app.errors import ModelError
from stream_app.features.compute import Vectors
from stream_app.features.definitions import VELOCITY
from stream_app.features.model_metadata import INPUT_NAME, OUTPUT_NAME, Bands, read_metadata
from training.fitting.export import (
    TOLERANCE,
    OperatingPoint,
    check_parity,
    describe,
    metadata_for,
    onnx_scores,
    onnx_session,
    to_onnx_model,
)
from training.fitting.fit import Recipe, fit, scores_of

DECISIONS = OperatingPoint(0.2, Bands(step_up=0.5, decline=0.9), 1_700_000_000_000, "EUR")
SMALL = Recipe(parameters={"n_estimators": 10, "max_depth": 8})


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    """Values on both sides of every split, also far ones."""
    rng = np.random.default_rng(5)
    return (rng.normal(0, 100, (1500, len(VELOCITY))) ** 3).astype(np.float32)


@pytest.fixture(scope="module")
def model(vectors: Vectors) -> Any:
    """A small forest."""
    return fit(vectors, vectors[:, 0] + vectors[:, 1] > 0, SMALL)


@pytest.fixture(scope="module")
def exported(model: Any, vectors: Vectors) -> Any:
    """It, as ONNX."""
    exported = to_onnx_model(model, len(VELOCITY))
    describe(exported, metadata_for(model, VELOCITY, vectors, DECISIONS))
    return exported


def test_the_same_seed_gives_the_same_forest(model: Any, vectors: Vectors) -> None:
    """Bit by bit; another seed gives another."""
    again, other = (fit(vectors, vectors[:, 0] + vectors[:, 1] > 0, replace(SMALL, seed=seed)) for seed in (0, 1))
    np.testing.assert_array_equal(scores_of(model, vectors), scores_of(again, vectors))
    assert (scores_of(model, vectors) != scores_of(other, vectors)).any()


def test_the_model_has_our_names_and_shapes(exported: Any) -> None:
    """One float32 input; two probabilities a row, of any number of rows."""
    session = onnx_session(exported.SerializeToString())
    (given,) = session.get_inputs()
    assert (given.name, given.type, given.shape[1]) == (INPUT_NAME, "tensor(float)", len(VELOCITY))
    assert not isinstance(given.shape[0], int)
    output = next(o for o in session.get_outputs() if o.name == OUTPUT_NAME)
    assert (output.type, output.shape[1]) == ("tensor(float)", 2)


def test_metadata_travel_in_the_file(exported: Any) -> None:
    """Features, threshold, bands; and parity vectors from the lowest score to the highest, which the runtime reproduces."""
    metadata = read_metadata({p.key: p.value for p in onnx.load_from_string(exported.SerializeToString()).metadata_props})
    assert metadata.resolved() == VELOCITY
    assert (metadata.threshold, metadata.bands, metadata.trained_at_ms) == (0.2, DECISIONS.bands, DECISIONS.trained_at_ms)
    rows = np.array(metadata.parity.features, dtype=np.float32)
    served = onnx_scores(onnx_session(exported.SerializeToString()), rows)
    assert np.abs(served - metadata.parity.scores).max() <= metadata.parity.tolerance
    assert metadata.parity.scores[0] < 0.1
    assert metadata.parity.scores[-1] > 0.9


def test_a_faithful_export_passes_the_gate(exported: Any, model: Any, vectors: Vectors) -> None:
    """Also on values exactly at the thresholds of the trees, where a rounded threshold would take the other branch."""
    tree = model.estimators_[0].tree_
    at = np.tile(np.median(vectors, axis=0), (tree.node_count, 1)).astype(np.float32)
    at[np.arange(tree.node_count), np.maximum(tree.feature, 0)] = tree.threshold.astype(np.float32)
    assert check_parity(model, exported.SerializeToString(), np.vstack([vectors, at])) <= TOLERANCE


def test_an_export_that_scores_otherwise_is_stopped(exported: Any, model: Any, vectors: Vectors) -> None:
    """One leaf of one tree off by a little: the gate says by how much, and that nothing was registered."""
    broken = onnx.load_from_string(exported.SerializeToString())
    weights = next(a for n in broken.graph.node for a in n.attribute if a.name == "class_weights")
    weights.floats[:] = [w + 0.001 for w in weights.floats]
    with pytest.raises(ModelError, match=r"scores up to .* away from scikit-learn in one batch \(1500 of 1500 .*Nothing was registered"):
        check_parity(model, broken.SerializeToString(), vectors)
