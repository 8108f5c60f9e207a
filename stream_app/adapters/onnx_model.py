"""A model in onnxruntime. It is used only after it has reproduced its own parity vectors here, in this runtime, on this machine."""

from __future__ import annotations

from typing import cast

import numpy as np
import onnxruntime

from stream_app.alert import ModelReference
from stream_app.errors import ModelError
from stream_app.features.compute import Vectors
from stream_app.model_metadata import INPUT_NAME, OUTPUT_NAME, ModelMetadata, read_metadata


class OnnxModel:
    """A loaded model, see `ports.Model`. One thread: scores are the same whatever the batch size."""

    def __init__(self, content: bytes, reference: ModelReference) -> None:
        """Load and check a model.

        Raises:
            ModelError: if it cannot be loaded, names features that we lack, or does not reproduce its parity vectors.
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
        self._check_parity()

    def score(self, vectors: Vectors) -> Vectors:
        """Probability of fraud of each row, float32 [rows]."""
        return cast("Vectors", self._session.run([OUTPUT_NAME], {INPUT_NAME: vectors})[0][:, 1])

    def _check_parity(self) -> None:
        parity = self.metadata.parity
        if not parity.scores:
            raise ModelError(f"Model {self.reference.name} version {self.reference.version} carries no parity vectors. Train it again.")
        try:
            difference = float(np.abs(self.score(np.array(parity.features, dtype=np.float32)) - np.array(parity.scores)).max())
        except Exception as error:  # noqa: BLE001 - as above; and rows of unequal length
            named = f"Model {self.reference.name} version {self.reference.version}"
            raise ModelError(f"{named} cannot score its own parity vectors: {error}. Train it again.") from None
        if not difference <= parity.tolerance:
            raise ModelError(
                f"Model {self.reference.name} version {self.reference.version} gives other scores here than at training (by {difference:.1e}, "
                f"allowed {parity.tolerance:.0e}). Run the onnxruntime it was exported with, or train it again."
            )
