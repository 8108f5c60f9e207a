"""What the API takes and gives: the contracts of the topics, closed, and the bodies of its own. One definition for checks and OpenAPI."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from stream_app.api.problems import is_unknown_field, of_json, of_record
from stream_app.messages.alert import Action, ModelReference
from stream_app.messages.fields import Field
from stream_app.messages.records import NOT_DECODED
from stream_app.messages.refusals import of_decoding
from stream_app.messages.transaction import Label, Transaction


class TransactionRequest(Transaction, frozen=True, gc=False, omit_defaults=True, forbid_unknown_fields=True):
    """A card transaction, `transaction.v1`; unknown fields are refused here."""


class LabelRequest(Label, frozen=True, gc=False, omit_defaults=True, forbid_unknown_fields=True):
    """What became known of a transaction, `label.v1`; unknown fields are refused here."""


type Vector = dict[str, float]


class OneVector(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One feature vector: each feature of the model by its name."""

    features: Vector


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Feature vectors, scored in one call of the model."""

    rows: Annotated[tuple[Vector, ...], Meta(min_length=1)]


class OnePrediction(msgspec.Struct, frozen=True, kw_only=True):
    """The score of one feature vector; `action` is null below the threshold."""

    score: float
    action: Action | None
    threshold: float
    model: ModelReference


class FeatureName(msgspec.Struct, frozen=True):
    """A feature of the model; the hash is over its definition."""

    name: str
    hash: str


class ModelAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The model in use. Scores from `threshold` on are alerts; `step_up` and `decline` are the bands above it."""

    name: str
    version: str
    threshold: float
    step_up: float
    decline: float
    base_currency: str
    trained_at: int
    features_hash: str
    features: tuple[FeatureName, ...]


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the API can score; `why` says why not."""

    ready: bool
    why: str | None = None


class Body[T]:
    """A decoder of one kind of body."""

    def __init__(self, kind: type[T], shape: str, fields: tuple[Field, ...] = ()) -> None:
        """Args: `shape` says in words what the body must be; `fields` are those of the contract's table, where it is a contract's."""
        self._decoder = msgspec.json.Decoder(kind)
        self._fields = {field.name: field for field in fields}
        self._shape = shape

    def of(self, content: bytes) -> T:
        """The body.

        Raises:
            Refusal: naming what is wrong and where.
        """
        try:
            return self._decoder.decode(str(content, "utf-8"))
        except msgspec.ValidationError as error:
            if self._fields and not is_unknown_field(error):
                raise of_record(of_decoding(self._fields, error, content.decode())) from None
            raise of_json(error, self._shape, _no_number(content)) from None
        except NOT_DECODED as error:
            raise of_json(error, self._shape) from None


def _no_number(content: bytes) -> list[str]:
    """Path to the first feature of a vector that is no number; empty where that is not what is wrong."""
    try:
        body = msgspec.json.decode(content, type=_FeatureVectors)
    except (msgspec.MsgspecError, RecursionError):
        return []
    rows = [(["features"], body.features)] + [(["rows", str(n)], row) for n, row in enumerate(body.rows)]
    return next(([*at, name] for at, row in rows for name, value in row.items() if not isinstance(value, int | float)), [])


class _FeatureVectors(msgspec.Struct, frozen=True):
    """Vectors whose values may be anything."""

    features: dict[str, Any] = {}
    rows: tuple[dict[str, Any], ...] = ()
