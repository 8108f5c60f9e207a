"""The limit: the worker's own consumer with decode and model, and nothing else: no features, state, guarantees or outputs.

`python -m benchmarks.peers.limit COUNT MODEL.onnx` reads the first COUNT payments of the topic, with the settings of a worker; prints JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.no_state import Reader
from benchmarks.peers.oracle import FEATURES
from stream_app.adapters.faust.options import PlainWorker
from stream_app.messages.transaction import Transaction
from stream_app.settings import Settings, load_settings
from training.fitting.export import onnx_scores, onnx_session


class ScoringReader(Reader):
    """Scores each payment by its amount alone: a tree is walked whatever the other features are."""

    def __init__(self, settings: Settings, count: int, model: bytes) -> None:
        super().__init__(settings, count)
        self._session = onnx_session(model)

    def decoded(self, payments: Sequence[Transaction]) -> None:
        """Ask the model, the whole fetch at once."""
        vectors = np.zeros((len(payments), len(FEATURES)), dtype=np.float32)
        vectors[:, 0] = [payment.amount for payment in payments]
        onnx_scores(self._session, vectors)


def main() -> None:
    """Read and print."""
    count = int(sys.argv[1])
    app = ScoringReader(load_settings(), count, Path(sys.argv[2]).read_bytes())
    began = time.process_time()
    try:
        PlainWorker(app, loglevel="WARNING", redirect_stdouts=False, quiet=True).execute_from_commandline()
    except SystemExit:
        used = time.process_time() - began
        print(json.dumps({"per_s": round(app.per_s), "cpu_us": round(used / count * 1e6, 1)}))


if __name__ == "__main__":
    main()
