"""What a model says of itself, carried inside the ONNX file: its features, threshold, bands and parity vectors."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from stream_app.errors import ModelError
from stream_app.features.definitions import Feature, features_hash, resolve
from stream_app.features.kept import kept_features

METADATA_KEY = "fraudstream"
INPUT_NAME = "features"
OUTPUT_NAME = "probabilities"
RAW_NAME = "raw_score"
"""What the model adds up, before it becomes a probability: a forest's mean vote; the log-odds of boosting or a linear model."""

ScoreBound = Annotated[float, Meta(ge=0, le=1)]
FieldShare = Annotated[float, Meta(ge=0, le=1)]


class Bands(msgspec.Struct, frozen=True):
    """Least score of each action above `review`, whose own is the threshold."""

    step_up: ScoreBound
    decline: ScoreBound


class ParityVectors(msgspec.Struct, frozen=True):
    """Rows of the training data and what scikit-learn said of them; checked at every load."""

    features: tuple[tuple[float, ...], ...]
    scores: tuple[float, ...]
    tolerance: float = 1e-5


class Baseline(msgspec.Struct, frozen=True):
    """How the training data was spread: what drift compares with. Every feature in order, then the score.

    Attributes:
        edges: inner bounds of the bins, rising; a value that equals a bound lies below it.
        shares: share of the rows in each bin, one more than there are bounds.
        usual_score: the mean of the scores; None in models of before.
    """

    edges: tuple[tuple[float, ...], ...]
    shares: tuple[tuple[float, ...], ...]
    usual_score: float | None = None


class ModelMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """Metadata of a model, JSON under the ONNX metadata key `fraudstream`.

    Attributes:
        features: (name, hash) of each input column, in order.
        threshold: score from which a transaction is alerted.
        bands: scores of the stronger actions.
        parity: vectors that every runtime must reproduce.
        trained_at_ms: when, Unix ms.
        base_currency: currency that the money features are in.
        baseline: the bins of drift; None in models of before.
        profile: the name of the list of features that it was trained on; empty before there were profiles.
        reference: values of the features that reasons begin from, where they are sampled, see `stream_app.explaining.sampling`. Not written where they are
            read off the graph.
        vocabularies: of each feature that is a category, by name, the texts that it knows; see `stream_app.features.own_values`. Not written where there is none.
        needs: of each field that its features read and a payment may lack (`stream_app.features.needed_fields`), the share of the payments of its train
            window that had it. Not written in models of before.
    """

    features: tuple[tuple[str, str], ...]
    threshold: ScoreBound
    bands: Bands
    parity: ParityVectors
    trained_at_ms: int
    base_currency: str = "EUR"
    baseline: Baseline | None = None
    profile: str = ""
    vocabularies: dict[str, tuple[str, ...]] | UnsetType = UNSET
    reference: tuple[float, ...] | UnsetType = UNSET
    needs: dict[str, FieldShare] | UnsetType = UNSET

    def resolved(self) -> tuple[Feature, ...]:
        """The features of this model, of all that state keeps the tiles of.

        Raises:
            ModelError: if one is missing here or defined otherwise.
        """
        return resolve(self.features, tuple(kept_features().values()), self.vocabularies or {})

    def features_hash(self) -> str:
        """One hash over the features in order."""
        return features_hash(self.resolved())


def read_metadata(properties: dict[str, str]) -> ModelMetadata:
    """Metadata from the properties of an ONNX model.

    Raises:
        ModelError: if they are missing or cannot be read.
    """
    if METADATA_KEY not in properties:
        raise ModelError("The ONNX model has no Fraudstream metadata. Train it with `python -m training.train`, which writes them.")
    try:
        return msgspec.json.decode(properties[METADATA_KEY], type=ModelMetadata)
    except msgspec.MsgspecError as error:
        raise ModelError(f"The metadata of the ONNX model cannot be read: {error}. Train it again with this version.") from None
