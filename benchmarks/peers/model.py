"""The model of this benchmark: a forest of 100 trees on the features that every system computes, registered as any other.

`python -m benchmarks.peers.model HISTORY.parquet MODEL.onnx`, with the settings of a worker.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.oracle import FEATURES
from stream_app.features.definitions import Feature
from stream_app.settings import load_settings
from training.data.split import Split
from training.fitting.fit import Recipe
from training.fitting.options import Options
from training.fitting.registration import Registration
from training.pipeline.run import train


@dataclass(frozen=True, slots=True, kw_only=True)
class OnFewFeatures(Options):
    """What to train on, with a list of features that is no profile of the product."""

    @property
    def features(self) -> tuple[Feature, ...]:
        """The columns of the model."""
        return FEATURES


def main() -> None:
    """Train, write the file, register."""
    settings = load_settings()
    options = OnFewFeatures(
        data=Path(sys.argv[1]),
        split=Split(),
        recipe=Recipe(),
        profile="peers",
        registration=Registration(settings.mlflow_tracking_uri, settings.model_name, settings.model_alias, who="bench-peers"),
        out=Path(sys.argv[2]),
    )
    train(options)


if __name__ == "__main__":
    main()
