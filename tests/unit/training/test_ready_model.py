"""A model that comes as an ONNX file: it goes the way of any other, and what cannot is refused by its cause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import TensorProto
from onnx.parser import parse_model

from stream_app.errors import SettingsError
from stream_app.explaining.sampling import Sampled
from training.fitting import ready_model
from training.fitting.calibrate import calibrate, raw_scores_of
from training.fitting.export import TOLERANCE, check_parity, explained, reference_of, to_onnx_model
from training.fitting.fit import Recipe, fit
from training.fitting.ready_model import read_ready_model

if TYPE_CHECKING:
    from pathlib import Path

WIDTH = 4
VECTORS = np.random.default_rng(0).normal(0, 1, (900, WIDTH)).astype(np.float32)
IS_FRAUD = VECTORS[:, 0] > 1
WEIGHTS = "float[4, 1] w = {1.5, 0.2, -0.3, 0.1}"
SCORE = "z = MatMul (x, w)\n p = Sigmoid (z)"
BOTH = "z = MatMul (x, w)\n p = Sigmoid (z)\n one = Constant <value_float: float = 1.0> ()\n q = Sub (one, p)\n probabilities = Concat <axis: int = 1> (q, p)"


def graph(
    body: str = SCORE, *, given: str = "float[N, 4] x", made: str = "float[N, 1] p", opset: int = 17, more: str = "", weights: str = WEIGHTS
) -> Any:
    """A small model of ONNX's own language."""
    text = f'<ir_version: 8, opset_import: ["" : {opset}{more}]> model ({given}) => ({made}) <{weights}> {{ {body} }}'
    return parse_model(text)


def put(folder: Path, model: Any) -> Path:
    """Its file."""
    path = folder / "mine.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    "model",
    [
        graph(),
        graph(
            "z = MatMul (x, w)\n s = Sigmoid (z)\n axes = Constant <value_ints: ints = [1]> ()\n p = Squeeze (s, axes)", made="float[N] p"
        ),
        graph(BOTH, made="float[N, 1] z, float[N, 2] probabilities"),
        graph(given="float[N, 4] features", body="z = MatMul (features, w)\n p = Sigmoid (z)", opset=13),
    ],
    ids=["a column", "a row", "both classes, and scores", "our name, an old opset"],
)
def test_a_ready_file_is_calibrated_exported_compared_and_explained(model: Any, tmp_path: Path) -> None:
    """One output or two, whatever its names; its reasons are sampled."""
    ready = fit(VECTORS, IS_FRAUD, Recipe(ready=put(tmp_path, model)))
    expected = 1 / (1 + np.exp(-(VECTORS.astype(np.float64) @ [1.5, 0.2, -0.3, 0.1])))
    np.testing.assert_allclose(raw_scores_of(ready, VECTORS), expected, atol=1e-6)
    calibrated = calibrate(ready, VECTORS, IS_FRAUD)
    content = to_onnx_model(calibrated, WIDTH).SerializeToString()
    assert check_parity(calibrated, content, VECTORS) <= TOLERANCE
    additive = explained(content, reference_of(content, VECTORS))
    assert isinstance(additive, Sampled)
    np.testing.assert_allclose(additive.expected + additive.contributions(VECTORS[:9]).sum(axis=1), expected[:9], atol=1e-6)


def _external() -> Any:
    model = graph()
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    return model


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (graph(given="float[N, 4] x, float[N, 4] y"), r"asks for 2 inputs \(x, y\), and is given one"),
        (graph("p = Cast <to: int = 1> (x)", given="double[N, 4] x"), r"its input 'x' is tensor\(double\) of shape"),
        (graph(given="float[1, 4] x"), "any number of payments and 4 features"),
        (
            graph(given="float[N, 5] x", weights="float[5, 1] w = {1, 1, 1, 1, 1}"),
            "the list has 4 features. Give the list that it was fitted on",
        ),
        (graph("p = mine.Magic (x)", more=', "mine" : 1'), r"operators that are not ONNX's own \(mine\.Magic\), which no worker has"),
        (_external(), "in another file"),
        (graph(opset=99), "its opset is 99; 13 to"),
        (graph(opset=9), "its opset is 9; 13 to"),
        (graph("z = MatMul (x, w)\n p = Cast <to: int = 7> (z)", made="int64[N, 1] p"), "which output is the probability of fraud"),
        (graph("p = Identity (x)", made="float[N, 4] p"), r"has the shape \(3, 4\) for 3 payments: it must be one or two"),
        (graph("z = MatMul (x, w)\n c = Cos (z)\n p = Neg (c)"), "is no probability: numbers from -1 to 0. Export probabilities"),
        (graph(BOTH.replace("(one, p)", "(p, p)"), made="float[N, 2] probabilities"), "do not add up to 1"),
        (graph("p = MatMul (w, x)"), "onnxruntime .* cannot load it|cannot score 3 payments"),
    ],
    ids=["inputs", "type", "one payment", "features", "custom", "external", "new", "old", "labels", "classes", "scores", "sums", "broken"],
)
def test_a_file_that_cannot_be_used_is_refused_by_its_cause(model: Any, told: str, tmp_path: Path) -> None:
    """In one line, before any data is read."""
    with pytest.raises(SettingsError, match=told) as refused:
        read_ready_model(put(tmp_path, model), WIDTH)
    assert "\n" not in str(refused.value)


def test_what_is_no_probability_only_on_payments_is_refused_there(tmp_path: Path) -> None:
    """Scores pass for one where every feature is 0."""
    ready = read_ready_model(put(tmp_path, graph("p = MatMul (x, w)")), WIDTH)
    with pytest.raises(SettingsError, match="is no probability: numbers from -"):
        ready.predict_proba(VECTORS)


@pytest.mark.parametrize(("content", "told"), [(b"", "no ONNX model"), (b"not a model" * 9, "no ONNX model"), (None, "No such file")])
def test_what_is_no_onnx_file_is_refused(content: bytes | None, told: str, tmp_path: Path) -> None:
    """Empty, something else, not there."""
    path = tmp_path / "mine.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=told):
        read_ready_model(path, WIDTH)


def test_a_file_larger_than_its_bound_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its size alone."""
    monkeypatch.setattr(ready_model, "LARGEST_BYTES", 10)
    with pytest.raises(SettingsError, match="and may have 10"):
        read_ready_model(put(tmp_path, graph()), WIDTH)


def test_two_models_of_ones_own_at_once_are_refused(tmp_path: Path) -> None:
    """And parameters beside one: they would be passed over without a word."""
    with pytest.raises(SettingsError, match="Leave one of the two out"):
        Recipe(ready=tmp_path, estimator="a:b")
    with pytest.raises(SettingsError, match="are not for --onnx"):
        Recipe(ready=tmp_path, seed=3)
