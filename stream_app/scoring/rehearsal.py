"""A model's first micro-batch, before any payment depends on it: what is wrong with it breaks here."""

from __future__ import annotations

import msgspec
import numpy as np

from stream_app.errors import ModelError
from stream_app.features.aggregations import DAY_MS
from stream_app.features.compute import Rows
from stream_app.features.plan import catalogue_plan
from stream_app.messages.alert import Alert, Score
from stream_app.messages.event_time import EARLIEST_EVENT_TIME_MS
from stream_app.messages.money import Money
from stream_app.messages.transaction import Transaction
from stream_app.scoring.intake import Decoded, merge
from stream_app.scoring.ports import Clock, Model, WorkingSet
from stream_app.scoring.publication import Output
from stream_app.scoring.scorer import Scorer

PAYMENTS = 20
LARGEST_BATCH = 1000
_START_MS = EARLIEST_EVENT_TIME_MS + 50 * DAY_MS
_OUTPUT = Output("alerts", "scores")
_TYPES: dict[str, type[Alert | Score]] = {"alerts": Alert, "scores": Score}


def rehearse(model: Model, money: Money, clock: Clock) -> None:
    """Take payments through everything that is done with a model, each of them alerted, and warm it up for a full batch.

    Raises:
        ModelError: if anything breaks, or what would be published is not what its type says.
    """
    width = len(model.metadata.features)
    try:
        for rows in (1, LARGEST_BATCH):
            scores = model.score(np.zeros((rows, width), dtype=np.float32))
            for given in (scores.probability, scores.raw):
                _require(given.shape == (rows,), f"it gives {given.shape} scores for {rows} payments")
        decided = _decide(Scorer(model, money, _OUTPUT, clock, threshold=0.0), money)
        _require(len(decided) == 2 * PAYMENTS, f"{len(decided)} messages came of {PAYMENTS} alerted payments")
        for topic, value in decided:
            msgspec.json.decode(value, type=_TYPES[topic])
    except ModelError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a file from outside brings about
        named = f"Model {model.reference.name} version {model.reference.version}"
        raise ModelError(f"{named} breaks when it is used: {type(error).__name__}: {error}. Train it again.") from None


def _require(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - a condition
    if not holds:
        raise ValueError(otherwise)


def _decide(scorer: Scorer, money: Money) -> list[tuple[str, bytes]]:
    payments = [_payment(n, money.currency) for n in range(PAYMENTS)]
    times = [p.event_time for p in payments]
    intake = merge(Decoded(payments, [], list(range(PAYMENTS)), times, []), Decoded.of_none(), money)
    rows = tuple(
        Rows.alone(np.zeros((len(ids), entity.layout.width), dtype=np.int64))
        for ids, entity in zip(intake.ids, catalogue_plan().entities, strict=True)
    )
    work = WorkingSet(intake.ids, rows, [""] * len(intake.ids[0]))
    return [(m.topic, m.value or b"") for m in scorer.decide(intake, work, ("rehearsal", 0)).messages]


def _payment(number: int, currency: str) -> Transaction:
    at_ms = _START_MS + number * 3_600_000
    return Transaction(f"rehearsal-{number}", at_ms, f"card-{number % 3}", f"terminal-{number % 2}", 10.0 * (number + 1), currency)
