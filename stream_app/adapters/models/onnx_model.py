"""A model in onnxruntime. It is used only after it has reproduced its own parity vectors here, in this runtime, on this machine."""

from __future__ import annotations

import numpy as np
import onnxruntime

from stream_app.errors import ModelError
from stream_app.explaining.contributions import Additive
from stream_app.explaining.onnx_graph import additive_for
from stream_app.features.compute import Floats, Vectors
from stream_app.features.model_metadata import INPUT_NAME, OUTPUT_NAME, RAW_NAME, ModelMetadata, read_metadata
from stream_app.messages.alert import ModelReference
from stream_app.scoring.ports import Scores


class OnnxModel:
    """A loaded model, see `ports.Model`. One thread: scores are the same whatever the batch size."""

    def __init__(self, content: bytes, reference: ModelReference) -> None:
        """Load and check a model.

        Raises:
            ModelError: if it cannot be loaded, names features that we lack, does not reproduce its parity vectors, or cannot be explained.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001 - onnxruntime raises classes that it does not export
            raise ModelError(f"Model {reference.name} version {reference.version} cannot be loaded by onnxruntime: {error}") from None
        self.reference = reference
        self.metadata: ModelMetadata = read_metadata(self._session.get_modelmeta().custom_metadata_map)
        self.metadata.resolved()
        if RAW_NAME not in {output.name for output in self._session.get_outputs()}:
            raise ModelError(
                f"Model {reference.name} version {reference.version} has no output {RAW_NAME!r}. Train it again with this version."
            )
        self.additive: Additive = additive_for(content, self.metadata.reference, lambda vectors: self.score(vectors).raw.astype(np.float64))
        self._check_parity()

    def score(self, vectors: Vectors) -> Scores:
        """Probability of fraud, and raw score, of each row."""
        probabilities, raw = self._session.run([OUTPUT_NAME, RAW_NAME], {INPUT_NAME: vectors})
        return Scores(probabilities[:, 1], raw[:, 0])

    def contributions(self, vectors: Vectors) -> Floats:
        """What each feature added to the raw score, float64 [rows, features]."""
        return self.additive.contributions(vectors)

    def _check_parity(self) -> None:
        parity = self.metadata.parity
        if not parity.scores:
            raise ModelError(f"Model {self.reference.name} version {self.reference.version} carries no parity vectors. Train it again.")
        try:
            vectors = np.array(parity.features, dtype=np.float32)
            found, added = self.score(vectors), self.contributions(vectors).sum(axis=1)
            difference = found.probability - np.array(parity.scores)
        except Exception as error:  # noqa: BLE001 - as above; and rows of unequal length
            named = f"Model {self.reference.name} version {self.reference.version}"
            raise ModelError(f"{named} cannot score its own parity vectors: {error}. Train it again.") from None
        self._same(difference, "gives other scores here than at training")
        size = np.maximum(1, np.abs(found.raw))  # log-odds go up to 20 or so, and float32 keeps seven digits
        self._same((self.additive.expected + added - found.raw) / size, "has contributions that do not add up to its raw scores")

    def _same(self, difference: Floats, what: str) -> None:
        largest, allowed = float(np.abs(difference).max()), self.metadata.parity.tolerance
        if not largest <= allowed:
            raise ModelError(
                f"Model {self.reference.name} version {self.reference.version} {what} (by {largest:.1e}, allowed {allowed:.0e}). "
                "Run the onnxruntime it was exported with, or train it again."
            )
