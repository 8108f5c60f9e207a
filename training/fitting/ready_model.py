"""A model that comes as an ONNX file, fitted elsewhere: looked at before anything is measured, and from then on a classifier as any other.

What it gives is taken for the probability of fraud and calibrated. Its graph goes into the exported file as it is, so it must stand on ONNX's own
operators and hold all its numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from onnx import TensorProto

from stream_app.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stream_app.features.compute import Floats, Vectors

LARGEST_BYTES = 256 * 1024 * 1024
DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})
OLDEST_OPSET = 13
_ROWS = 3
_SUM_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class ReadyModel:
    """It.

    Attributes:
        graph: the ONNX model.
        output: the name of what holds the probability of fraud, in its last column.
        session: of ONNX Runtime.
    """

    graph: Any
    output: str
    session: Any

    @property
    def input(self) -> str:
        """The name of what it is given."""
        return str(self.session.get_inputs()[0].name)

    def predict_proba(self, vectors: Vectors) -> Floats:
        """Probability of either class, float64 [rows, 2].

        Raises:
            SettingsError: it does not give one for each row.
        """
        try:
            (given,) = self.session.run([self.output], {self.input: vectors})
        except Exception as error:  # noqa: BLE001 - onnxruntime raises classes that it does not export
            raise SettingsError(f"The ONNX model cannot score {len(vectors)} payments: {' '.join(str(error).split())[:300]}") from None
        found = np.asarray(given, dtype=np.float64).reshape(len(given), -1)
        if len(found) != len(vectors) or found.shape[1] not in {1, 2}:
            raise SettingsError(
                f"Output {self.output!r} of the ONNX model has the shape {given.shape} for {len(vectors)} payments: it must be one or two numbers for each."
            )
        low, high = float(found.min(initial=0)), float(found.max(initial=0))
        if not (low >= 0 and high <= 1 and (found.shape[1] == 1 or np.abs(found.sum(axis=1) - 1).max(initial=0) <= _SUM_TOLERANCE)):
            raise SettingsError(
                f"Output {self.output!r} of the ONNX model is no probability: numbers from {low:g} to {high:g}"
                f"{', which do not add up to 1 for a payment' if low >= 0 and high <= 1 else ''}. Export probabilities, not scores or labels."
            )
        return np.column_stack([1 - found[:, -1], found[:, -1]])


def read_ready_model(path: Path, features: int) -> ReadyModel:
    """Read a file, and look at what it is.

    Args:
        path: of the ONNX file.
        features: how many each payment has.

    Raises:
        SettingsError: it cannot be used; one line with why.
    """
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= LARGEST_BYTES else b""
    except OSError as error:
        raise SettingsError(f"ONNX file {path}: {error.strerror}.") from None
    wrong = f"ONNX file {path} cannot be used:"
    if size > LARGEST_BYTES:
        raise SettingsError(f"{wrong} it has {size:,} bytes, and may have {LARGEST_BYTES:,}.")
    try:
        graph = onnx.ModelProto.FromString(content)
    except DecodeError:
        raise SettingsError(f"{wrong} it is no ONNX model.") from None
    for why in _faults(graph):
        raise SettingsError(f"{wrong} {why}")
    try:
        session = _session(content)
    except Exception as error:  # noqa: BLE001 - as above
        raise SettingsError(f"{wrong} onnxruntime {onnxruntime.__version__} cannot load it: {' '.join(str(error).split())[:300]}") from None
    model = ReadyModel(graph, _probability_of(session, wrong), session)
    _check_input(session, features, wrong)
    model.predict_proba(np.zeros((_ROWS, features), dtype=np.float32))
    return model


def _session(content: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _faults(model: Any) -> Iterator[str]:
    if not model.graph.node:
        yield "it is no ONNX model, or one without a graph."
    newest = onnx.defs.onnx_opset_version()
    for opset in model.opset_import:
        if opset.domain in {"", "ai.onnx"} and not OLDEST_OPSET <= opset.version <= newest:
            yield f"its opset is {opset.version}; {OLDEST_OPSET} to {newest} are read here. Export it with `target_opset=17`."
    foreign = sorted({f"{node.domain}.{node.op_type}" for node in _nodes(model.graph) if node.domain not in DOMAINS})
    if foreign or model.functions:
        told = ", ".join(foreign) or ", ".join(function.name for function in model.functions)
        yield f"it has operators that are not ONNX's own ({told}), which no worker has."
    if any(tensor.data_location == TensorProto.EXTERNAL for tensor in _tensors(model.graph)):
        yield "its numbers are in another file (external data). Save it as one file."


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)


def _check_input(session: Any, features: int, wrong: str) -> None:
    given = session.get_inputs()
    if len(given) != 1:
        raise SettingsError(
            f"{wrong} it asks for {len(given)} inputs ({', '.join(one.name for one in given)}), and is given one: [payments, features]."
        )
    told = f"its input {given[0].name!r} is {given[0].type} of shape {given[0].shape}"
    if given[0].type != "tensor(float)" or len(given[0].shape) != 2 or isinstance(given[0].shape[0], int):  # noqa: PLR2004 - rows and columns
        raise SettingsError(f"{wrong} {told}; it must be tensor(float) of any number of payments and {features} features.")
    if isinstance(given[0].shape[1], int) and given[0].shape[1] != features:
        raise SettingsError(
            f"{wrong} {told}, and the list has {features} features. Give the list that it was fitted on: --features FILE, or --profile."
        )


def _probability_of(session: Any, wrong: str) -> str:
    """The one output of numbers; where there are several, the one called so."""
    numbers = [output.name for output in session.get_outputs() if output.type in {"tensor(float)", "tensor(double)"}]
    named = [name for name in numbers if "prob" in name.lower()]
    if len(numbers) != 1 and len(named) != 1:
        told = ", ".join(f"{output.name}: {output.type}" for output in session.get_outputs())
        raise SettingsError(
            f"{wrong} which output is the probability of fraud? It has {told}. Export it with `zipmap=False`, and call the output `probabilities`."
        )
    return str(named[0] if len(named) == 1 else numbers[0])
