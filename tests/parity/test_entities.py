"""What a history says of merchants, categories, countries and IP networks is what the stream says, by what `produce` publishes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_app.commands.replay import label_records, replay_of, transaction_records
from stream_app.features.compute import Rows, compute
from stream_app.features.definitions import PAYMENTS, VELOCITY
from stream_app.features.entities import ALL, KEPT_BY_DEFAULT, OPTIONAL, SHARED
from stream_app.features.plan import compile_plan
from stream_app.messages.transaction import Decoder, IntakeRules, Label, Transaction
from stream_app.scoring.intake import Intake, decode_all, merge
from tests.examples import examples
from tests.parity.test_money import MONEY, Record
from training.data.backfill import backfill
from training.data.dataset import read_transactions

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from stream_app.features.compute import Vectors
    from stream_app.features.definitions import Feature
    from stream_app.features.entities import KeptEntities

START_MS, HOUR_MS, DAY_MS = 1_522_540_800_000, 3_600_000, 86_400_000
GIVEN: dict[str, st.SearchStrategy[Any]] = {
    "merchant_id": st.sampled_from(("m1", "m2", "")),
    "mcc": st.sampled_from(("5411", "5732")),
    "country": st.sampled_from(("FR", "DE")),
    "ip": st.sampled_from(("203.0.113.7", "203.0.113.9", "::ffff:203.0.113.8", "2001:db8:1:2::3", "no address", "")),
    "device_id": st.sampled_from(("d1", "")),
}
DRAWN = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 1000), st.integers(0, 3), st.fixed_dictionaries({}, optional=GIVEN)), max_size=25
)
FULL = {"merchant_id": "m1", "mcc": "5411", "country": "FR", "ip": "203.0.113.7", "device_id": "d1"}


def written(file: Path, drawn: list[tuple[int, int, int, dict[str, Any]]]) -> pd.DataFrame:
    """A history in order of time: of each payment its card, its hour, and in how many days it becomes known as fraud, 0: never."""
    first = [(0, 0, 1, FULL), (1, 1, 0, FULL), (0, 20 * 24, 0, FULL)]
    rows = [
        {
            "transaction_id": f"T{n:03}", "event_time": START_MS + hours * HOUR_MS, "card_id": f"C{card}", "terminal_id": f"M{n % 2}",
            "amount": 10.0 + n, "currency": "EUR", "is_fraud": days > 0,
        } | ({"labelled_at": START_MS + hours * HOUR_MS + days * DAY_MS} if days else {}) | given
        for n, (card, hours, days, given) in enumerate(sorted([*first, *drawn], key=lambda row: row[1]))
    ]  # fmt: skip
    file.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    return read_transactions(file)


def streamed(frame: pd.DataFrame, kept: KeptEntities) -> Intake:
    """All of it as one round of a worker that keeps these entities."""
    replay = replay_of(frame)
    payments, labels = (
        [Record(n, key, value, at_ms) for n, ((key, value), at_ms) in enumerate(zip(records, times.tolist(), strict=True))]
        for records, times in (
            (transaction_records(replay.transactions, 0, len(frame)), replay.transaction_times_ms),
            (label_records(replay.labels, 0, len(replay.label_times_ms)), replay.label_times_ms),
        )
    )
    decoded = decode_all(payments, Decoder(Transaction, IntakeRules()), None), decode_all(labels, Decoder(Label, IntakeRules()), None)
    assert not decoded[0].refused + decoded[1].refused
    return merge(*decoded, MONEY, kept)


def served(intake: Intake, features: tuple[Feature, ...]) -> Vectors:
    """The vectors of its payments, from empty state."""
    plan = compile_plan(features)
    rows = [Rows.alone(np.zeros((len(ids), e.layout.width), dtype=np.int64)) for ids, e in zip(intake.ids, plan.entities, strict=True)]
    vectors: Vectors = compute(plan, intake.events, rows, MONEY.unit).vectors[intake.places]
    return vectors


@settings(examples(30), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=DRAWN)
def test_every_entity_is_the_same_in_training_and_in_the_stream(tmp_path: Path, drawn: list[Any]) -> None:
    """Payments and labels, with any field missing: all of `payments` to the bit; a fraud counts for all that its payment named."""
    frame = written(tmp_path / "history.jsonl", drawn)
    vectors = served(streamed(frame, ALL), PAYMENTS)
    np.testing.assert_array_equal(backfill(frame, PAYMENTS, MONEY).vectors, vectors)
    risks = [n for n, f in enumerate(PAYMENTS) if f.aggregation == "risk" and f.window_s == 30 * 86_400 and f.entity in OPTIONAL]
    assert {PAYMENTS[n].entity for n in risks} == {"merchant", "mcc", "country", "ip"}
    assert (vectors[:, risks].max(axis=0) > 0).all()


@settings(examples(15), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=DRAWN)
def test_what_is_not_kept_is_not_named_and_changes_no_other_feature(tmp_path: Path, drawn: list[Any]) -> None:
    """By default no merchant is looked for; every feature of `velocity` is as where all are kept."""
    frame = written(tmp_path / "history.jsonl", drawn)
    of_few, of_all = streamed(frame, KEPT_BY_DEFAULT), streamed(frame, ALL)
    assert [bool(ids) for ids in of_few.ids] == [True, True, True, *([False] * len(SHARED[2:]))]
    assert all(of_all.ids)
    np.testing.assert_array_equal(served(of_few, VELOCITY), served(of_all, VELOCITY))
    of_cards = streamed(frame, frozenset({"card"}))
    at = [n for n, f in enumerate(PAYMENTS) if f.entity in {None, "card"}]
    np.testing.assert_array_equal(served(of_cards, PAYMENTS)[:, at], served(of_all, PAYMENTS)[:, at])
