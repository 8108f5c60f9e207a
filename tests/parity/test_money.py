"""Money of a file, trained on, is the money of the same payments on Kafka: one rule, whatever the currencies."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from stream_app.features.compute import Rows, compute
from stream_app.features.definitions import CATALOGUE
from stream_app.features.plan import compile_plan
from stream_app.messages.money import Money, Rates
from stream_app.messages.transaction import Decoder, IntakeRules, Label, Transaction
from stream_app.scoring.intake import Decoded, decode_all, merge
from training.data.backfill import backfill
from training.data.dataset import read_transactions

if TYPE_CHECKING:
    from pathlib import Path

    from stream_app.features.compute import Vectors
    from training.data.backfill import Backfill

START_MS = 1_522_540_800_000
MONEY = Money("EUR", Rates("2018-04", "EUR", {"USD": 0.8123, "GBP": 1.1401}))
CURRENCIES = ("EUR", "USD", "GBP", "JPY")  # the last has no rate
AMOUNTS = (0.0, 0.01, 12.345, 33.335, 999_999_999.99)


class Record(NamedTuple):
    """A Kafka record."""

    offset: int
    key: bytes
    value: bytes
    timestamp: int


def payments() -> list[dict[str, Any]]:
    """Every currency with every billing currency, with and without a billing amount, on two cards, a minute apart."""
    kinds = product(AMOUNTS, CURRENCIES, (None, 7.775), (None, *CURRENCIES))
    return [
        {
            "transaction_id": f"T{i}",
            "event_time": START_MS + i * 60_000,
            "card_id": f"C{i % 2}",
            "terminal_id": "M",
            "amount": amount,
            "currency": currency,
            "billing_amount": billed,
            "billing_currency": billing_currency,
        }
        for i, (amount, currency, billed, billing_currency) in enumerate(kinds)
    ]


def served(messages: list[dict[str, Any]]) -> tuple[Vectors, list[bool]]:
    """Vectors of the worker's path, from records to features, and which payments have no rate."""
    records = [Record(i, m["card_id"].encode(), msgspec.json.encode(m), m["event_time"]) for i, m in enumerate(messages)]
    none: Decoded[Label] = Decoded.of_none()
    intake = merge(decode_all(records, Decoder(Transaction, IntakeRules()), None), none, MONEY)
    assert len(intake.events.minor) == len(messages)
    plan = compile_plan(CATALOGUE)
    rows = [
        Rows.alone(np.zeros((len(ids), entity.layout.width), dtype=np.int64)) for ids, entity in zip(intake.ids, plan.entities, strict=True)
    ]
    computed = compute(plan, intake.events, rows, MONEY.unit)
    return computed.vectors, (intake.events.minor < 0).tolist()


def trained(messages: list[dict[str, Any]], folder: Path) -> Backfill:
    """The training path, from a file to features."""
    file = folder / "payments.jsonl"
    file.write_bytes(b"".join(msgspec.json.encode(m) + b"\n" for m in messages))
    return backfill(read_transactions(file), CATALOGUE, MONEY)


def test_a_file_in_many_currencies_gives_the_vectors_that_the_worker_serves(tmp_path: Path) -> None:
    """Converted, billed, without a rate: every feature is the same to the bit, and as many payments are told to have no rate."""
    vectors, unpriced = served(payments())
    result = trained(payments(), tmp_path)
    np.testing.assert_array_equal(result.vectors, vectors)
    assert result.unpriced == sum(unpriced) > 0


def test_a_payment_without_a_rate_does_not_stand_out_trained_or_served(tmp_path: Path) -> None:
    """Ten payments of 10 to 19 EUR, then 10,000 JPY: no amount, the ratio and z-score of a card without history; the next stands out."""
    [like] = payments()[:1]
    euros = [like | {"transaction_id": f"E{i}", "event_time": START_MS + i * 60_000, "amount": 10.0 + i} for i in range(10)]
    later = [
        like | {"transaction_id": f"L{i}", "event_time": START_MS + (20 + i) * 60_000, "amount": 10_000.0, "currency": currency}
        for i, currency in enumerate(("JPY", "EUR"))
    ]
    messages = [*euros, *later]
    vectors, _ = served(messages)
    for rows in (vectors, trained(messages, tmp_path).vectors):
        unpriced, priced = ({f.name: v for f, v in zip(CATALOGUE, row, strict=True)} for row in rows[-2:].tolist())
        names = ("amount", "card_amount_ratio_30d", "card_amount_zscore_30d")
        assert [unpriced[n] for n in names] == [0.0, 1.0, 0.0]
        assert priced["amount"] == 10_000
        assert priced["card_amount_ratio_30d"] > 100
        assert priced["card_amount_zscore_30d"] > 100


def test_a_payment_without_a_rate_is_counted_and_its_money_is_not(tmp_path: Path) -> None:
    """JPY without a rate, USD with one: the second is two payments of the day, and all of its money, trained and served."""
    first, second = (m | {"amount": 10.0, "billing_amount": None, "card_id": "C0"} for m in payments()[:2])
    messages = [first | {"currency": "JPY"}, second | {"currency": "USD"}]
    vectors, unpriced = served(messages)
    assert unpriced == [True, False]
    for row in (vectors[1].tolist(), trained(messages, tmp_path).vectors[1].tolist()):
        named = dict(zip((f.name for f in compile_plan(CATALOGUE).features), row, strict=True))
        assert named["card_count_1d"] == 2
        assert round(named["card_mean_amount_1d"] * named["card_count_1d"], 5) == 8.12
