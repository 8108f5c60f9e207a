"""`fraudstream labels` against real Kafka: reports in a bank's own shape become labels beside their payments, each once, whoever was killed in between."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.kafka.returning import ReturningProducer, returning_producer
from stream_app.commands.labels import labels_command
from stream_app.errors import Refused, Unavailable
from stream_app.messages.records import Addressed, Outgoing
from stream_app.messages.transaction import Label
from tests.e2e.kafka import NOW_MS, TRANSACTION, make_topic, publish, raw
from tests.integration.test_dlq_kafka import read, settings

if TYPE_CHECKING:
    from pathlib import Path

    from stream_app.settings import Settings

__all__ = ["settings"]
pytestmark = pytest.mark.servers
MAPPING = """
columns:
  transaction_id: ref
  card_id: pan
  amount: {path: money.cents, unit: minor}
  event_time: {path: day, unit: iso8601}
  fraud_type: code
zone: UTC
"""
DAY = time.strftime("%Y-%m-%d", time.gmtime(NOW_MS / 1000))
REPORTS: list[Any] = [
    {"ref": "T1", "code": "6"},
    {"pan": "C2", "money": {"cents": 777}, "day": DAY},
    {"pan": "C3", "money": {"cents": 1250}, "day": DAY},
    {"ref": "T9"},
    {"pan": "C2"},
    {"pan": "C2", "money": {"cents": 7.5}, "day": DAY},
]
PAID = [("T1", "C1", 12.5), ("T2", "C2", 7.77), ("T3", "C3", 12.5), ("T4", "C3", 12.5)]


@pytest.fixture
def reports(settings: Settings, unique: str, tmp_path: Path) -> tuple[str, Path]:
    """A topic of reports, and their mapping; the payments that some of them mean stand in partition 0, one of them twice."""
    topic, mapping = f"chargebacks-{unique}", tmp_path / "m.yml"
    mapping.write_text(MAPPING)
    asyncio.run(make_topic(settings.kafka_bootstrap_servers, topic, 1))
    payments = [(card.encode(), raw(TRANSACTION, transaction_id=name, card_id=card, amount=amount)) for name, card, amount in PAID]
    asyncio.run(publish(settings.kafka_bootstrap_servers, settings.transactions_topic, [*payments, payments[0]]))
    asyncio.run(publish(settings.kafka_bootstrap_servers, topic, [(None, json.dumps(report).encode()) for report in REPORTS]))
    return topic, mapping


def labels_of(settings: Settings) -> list[Label]:
    """What workers read."""
    return [msgspec.json.decode(record.value, type=Label) for record in asyncio.run(read(settings, settings.labels_topic))]


def test_reports_become_labels_once(
    settings: Settings, reports: tuple[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Looked at, cut off before its transaction was committed, run, run again, and run once more with a new report; what is none is a dead letter."""
    topic, mapping = reports
    labels_command(topic, mapping, dry_run=True)
    assert capsys.readouterr().out.splitlines()[0] == f"Reports of '{topic}': 6; 2 would be published as labels, 2 of them fraud."
    whole = ReturningProducer.send

    async def cut_off(self: ReturningProducer, *of: Any) -> None:
        async def killed(*_: Any) -> None:
            raise Unavailable("cut off")

        monkeypatch.setattr(self._producer, "send_offsets_to_transaction", killed)
        await whole(self, *of)

    monkeypatch.setattr(ReturningProducer, "send", cut_off)
    with pytest.raises(Unavailable, match="cut off"):
        labels_command(topic, mapping)
    monkeypatch.setattr(ReturningProducer, "send", whole)
    assert (labels_of(settings), asyncio.run(read(settings, settings.labels_dlq_topic))) == ([], [])
    labels_command(topic, mapping)
    labels_command(topic, mapping)
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("Reports")] == [
        f"Reports of '{topic}': 6; 2 published as labels, 2 of them fraud.",
        f"Reports of '{topic}': 0; 0 published as labels, 0 of them fraud.",
    ]
    asyncio.run(publish(settings.kafka_bootstrap_servers, topic, [(b"any", json.dumps({"ref": "T2", "pan": "C2"}).encode())]))
    labels_command(topic, mapping)
    found = {(label.transaction_id, label.card_id): label for label in labels_of(settings)}
    assert len(labels_of(settings)) == 3
    assert found["T1", "C1"].source == "chargeback:card_not_present"
    assert (found["T2", "C2"].terminal_id, found["T2", "C2"].amount, found["T2", "C2"].event_time) == ("M1", 7.77, NOW_MS)
    letters = [dict(record.headers) for record in asyncio.run(read(settings, settings.labels_dlq_topic))]
    assert {int(letter["source.offset"]): letter["error.code"] for letter in letters} == {
        2: b"label_ambiguous",
        3: b"label_unmatched",
        4: b"label_incomplete",
        5: b"wrong_type",
    }
    assert len(letters) == 4


def test_of_two_runs_at_once_the_first_gives_way(settings: Settings, unique: str) -> None:
    """Else both would publish the same reports; the sentence says which command it was."""
    counts, message = {settings.labels_topic: 2}, Addressed(0, Outgoing(settings.labels_topic, b"C1", b"{}"))
    client = client_options(settings)

    async def both() -> None:
        async with returning_producer(client, unique, counts, "fraudstream labels") as first:
            async with returning_producer(client, unique, counts, "fraudstream labels") as second:
                await second.send([message], {(settings.labels_topic, 0): 1})
            await first.send([message], {(settings.labels_topic, 0): 1})

    with pytest.raises(Refused, match="Another `fraudstream labels` has begun since"):
        asyncio.run(both())
    assert len(asyncio.run(read(settings, settings.labels_topic))) == 1
