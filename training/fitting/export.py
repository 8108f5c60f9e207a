"""From scikit-learn to ONNX, with the metadata inside, and the gate that the two must pass together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import onnxruntime
from msgspec import UNSET, UnsetType

from stream_app.errors import ModelError
from stream_app.explaining.contributions import Additive
from stream_app.explaining.onnx_graph import additive_for, additive_of
from stream_app.features.model_metadata import (
    INPUT_NAME,
    METADATA_KEY,
    OUTPUT_NAME,
    RAW_NAME,
    Bands,
    Baseline,
    ModelMetadata,
    ParityVectors,
    read_metadata,
)
from training.fitting.calibrate import raw_scores_of
from training.fitting.fit import scores_of
from training.fitting.onnx_converters import graph_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stream_app.features.compute import Floats, Vectors
    from stream_app.features.definitions import Feature

TOLERANCE = 1e-5
PARITY_ROWS = 32
SINGLES = 200


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """What was chosen for the model beside its trees: the threshold, the bands, when, in which currency, the bins of drift, the profile, the reference
    of its reasons, and which share of the payments that it was fitted on had each field that it needs.
    """

    threshold: float
    bands: Bands
    trained_at_ms: int
    base_currency: str
    baseline: Baseline | None = None
    profile: str = ""
    reference: tuple[float, ...] | UnsetType = UNSET
    needs: Mapping[str, float] = field(default_factory=dict)


def metadata_for(model: Any, features: Sequence[Feature], train: Vectors, decisions: OperatingPoint) -> ModelMetadata:
    """What the model says of itself. Its parity vectors are rows of the training data spread evenly over the order of their scores."""
    scores = scores_of(model, train)
    spread = np.argsort(scores, kind="stable")[np.linspace(0, len(scores) - 1, min(PARITY_ROWS, len(scores))).astype(np.int64)]
    vectors = tuple(tuple(row) for row in train[spread].astype(np.float64).tolist())
    return ModelMetadata(
        features=tuple((f.name, f.hash) for f in features),
        threshold=decisions.threshold,
        bands=decisions.bands,
        parity=ParityVectors(vectors, tuple(scores[spread].tolist()), TOLERANCE),
        trained_at_ms=decisions.trained_at_ms,
        base_currency=decisions.base_currency,
        baseline=decisions.baseline,
        profile=decisions.profile,
        reference=decisions.reference,
        vocabularies={f.name: f.vocabulary for f in features if f.is_category} or msgspec.UNSET,
        needs=dict(decisions.needs),
    )


def to_onnx_model(model: Any, width: int) -> Any:
    """The ONNX model: float32 [None, width] in, float32 [None, 2] and [None, 1] (raw) out; `describe` completes it."""
    return graph_of(model, width)


def describe(exported: Any, metadata: ModelMetadata) -> None:
    """Write the metadata into the ONNX model's properties."""
    entry = exported.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, msgspec.json.encode(metadata).decode()


def check_parity(model: Any, exported: bytes, vectors: Vectors, tolerance: float = TOLERANCE) -> float:
    """The gate: scikit-learn and ONNX Runtime say the same, on all of `vectors` at once and on a sample one by one.

    Args:
        model: fitted by scikit-learn; it is given the same float32 vectors.
        exported: the ONNX file's bytes.
        vectors: the whole test window.
        tolerance: largest difference allowed; of a raw score beyond 1, in that share of it: log-odds are larger.

    Returns:
        The largest difference of a probability.

    Raises:
        ModelError: if they differ by more; such a model must not be registered.
    """
    session = onnx_session(exported)
    sample = np.unique(np.linspace(0, len(vectors) - 1, SINGLES).astype(np.int64))
    largest = 0.0
    for output, expected in ((OUTPUT_NAME, scores_of(model, vectors)), (RAW_NAME, raw_scores_of(model, vectors))):
        whole = onnx_scores(session, vectors, output)
        alone = np.concatenate([onnx_scores(session, vectors[i : i + 1], output) for i in sample])
        size = np.maximum(1, np.abs(expected))
        for how, difference in (
            ("in one batch", np.abs(whole - expected) / size),
            ("one by one", np.abs(alone - expected[sample]) / size[sample]),
        ):
            _refuse_beyond(tolerance, difference, how)
            largest = max(largest, float(difference.max())) if output == OUTPUT_NAME else largest
    return largest


def check_whole_way(model: Any, vectors: Vectors) -> None:
    """Export a fitted model, read its reasons off the graph, and compare the two runtimes: what a model must pass, on a few rows.

    Raises:
        ModelError: it does not.
    """
    content = to_onnx_model(model, vectors.shape[1]).SerializeToString()
    check_parity(model, content, vectors)
    explained(content, reference_of(content, vectors)).contributions(vectors[:1])


def reference_of(content: bytes, train: Vectors) -> tuple[float, ...] | UnsetType:
    """What reasons of a model begin from where they must be sampled: medians of the training data. Nothing, where the graph can be read.

    Args:
        content: the ONNX file; what is read off it must add up to its raw scores.
        train: float32 [rows, features].
    """
    rows = train[np.unique(np.linspace(0, len(train) - 1, PARITY_ROWS).astype(np.int64))]
    try:
        additive, raw = additive_of(content), onnx_scores(onnx_session(content), rows, RAW_NAME)
        difference = np.abs(additive.expected + additive.contributions(rows).sum(axis=1) - raw) / np.maximum(1, np.abs(raw))
        if difference.max() <= TOLERANCE:
            return UNSET
    except (ModelError, KeyError, IndexError, ValueError):  # a graph of another's making
        pass
    return tuple(np.quantile(train, 0.5, axis=0, method="higher").astype(np.float64).tolist())


def explained(content: bytes, reference: tuple[float, ...] | UnsetType) -> Additive:
    """What an exported model's reasons are made of, see `additive_for`."""
    session = onnx_session(content)
    return additive_for(content, reference, lambda vectors: onnx_scores(session, vectors, RAW_NAME))


def explained_by_itself(content: bytes) -> Additive:
    """The same, as its own metadata say; of one without any, as its graph says."""
    told = onnx_session(content).get_modelmeta().custom_metadata_map
    return explained(content, read_metadata(told).reference if METADATA_KEY in told else UNSET)


def difference_of(expected: Floats, served: Floats, tolerance: float = TOLERANCE) -> float:
    """The largest difference of the two runtimes' probabilities.

    Raises:
        ModelError: it is more than the tolerance.
    """
    difference = np.abs(served - expected)
    _refuse_beyond(tolerance, difference, "in one batch")
    return float(difference.max())


def _refuse_beyond(tolerance: float, difference: Floats, how: str) -> None:
    if not difference.max() <= tolerance:  # so that NaN fails too
        raise ModelError(
            f"ONNX Runtime {onnxruntime.__version__} scores up to {difference.max():.2g} away from scikit-learn {how} "
            f"({np.count_nonzero(~(difference <= tolerance))} of {len(difference)} transactions; {tolerance:g} is allowed). "
            "Nothing was registered. Install the versions of requirements.lock and train again."
        )


def onnx_session(exported: bytes, threads: int = 1) -> Any:
    """A session on the CPU, as the worker's."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(exported, options, providers=["CPUExecutionProvider"])


def onnx_scores(session: Any, vectors: Vectors, output: str = OUTPUT_NAME) -> Floats:
    """The probability of fraud of each row, or its raw score."""
    return np.asarray(session.run([output], {INPUT_NAME: vectors})[0][:, -1], dtype=np.float64)
