"""A takeover from a worker of before, which named alerts, cases and notes by the transaction's id alone: what it wrote stands and is read."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer
from redis import Redis

from stream_app.adapters.kafka.log import KafkaLog
from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.redis.store import RedisStore
from stream_app.features.compute import compute
from stream_app.features.plan import catalogue_plan
from stream_app.messages.alert import Alert, Score, alert_id_of
from stream_app.messages.money import Money
from stream_app.messages.transaction import Transaction
from stream_app.scoring.intake import Decoded, merge
from stream_app.scoring.scorer import keep_case
from stream_app.settings import Settings, load_settings
from tests.e2e.kafka import LABEL, NOW_MS, TRANSACTION, publish, raw, read
from tests.e2e.test_one_id import outcomes
from tests.e2e.test_operate import command
from tests.e2e.workers import worker
from tests.waiting import until

DAY = NOW_MS // 86_400_000
PAYMENTS = [("C1", "INV-1"), ("C2", "INV-1"), ("C1", "INV-2"), ("C1", "INV-3"), ("C3", "INV-1")]
"""The first two were decided and written, the third was published and not written when the worker of before ended."""
WRITTEN, PUBLISHED = 2, 3


def former_alert(offset: int) -> bytes:
    """An alert as it was published before: both ids are the transaction's; the third goes on with the case of the first."""
    card, transaction = PAYMENTS[offset]
    optional = ["billing_amount", "billing_currency", "approved", "merchant_id", "mcc", "country", "channel", "latitude", "longitude"]
    optional += ["device_id", "ip", "attributes", "degraded"]
    alert: dict[str, Any] = TRANSACTION | dict.fromkeys(optional) | {"card_id": card, "transaction_id": transaction, "type": "purchase"}
    alert |= {"alert_id": transaction, "case_id": "INV-1", "action": "decline", "score": 0.875, "raw_score": 0.75, "threshold": 0.5}
    alert |= {"model": {"name": "former", "version": "1"}, "reasons": [], "scored_at": NOW_MS}
    return json.dumps(alert | {"source": {"topic": "transactions", "partition": 0, "offset": offset}}).encode()


async def leave(settings: Settings) -> None:
    """Topics, alerts, state and notes as the worker of before left them."""
    servers, topics = settings.kafka_bootstrap_servers, (settings.transactions_topic, settings.labels_topic)
    log = KafkaLog(client_options(settings), settings.consumer_group)
    ids = await log.topic_ids(topics)
    producer = AIOKafkaProducer(bootstrap_servers=servers)
    await producer.start()
    for offset, (card, _) in enumerate(PAYMENTS[:PUBLISHED]):
        position = f"{ids[topics[0]]}:{0 if offset < WRITTEN else WRITTEN},{ids[topics[1]]}:0"
        headers = [("source.offset", str(offset).encode()), ("source.cursor", position.encode())]
        await producer.send_and_wait(settings.alerts_topic, former_alert(offset), card.encode(), 0, headers=headers)
    await producer.stop()
    decided = [msgspec.convert(TRANSACTION | {"card_id": c, "transaction_id": t}, Transaction) for c, t in PAYMENTS[:WRITTEN]]
    store = RedisStore(settings.redis_url, settings.consumer_group)
    store.hold([0], 2)
    state, start = await store.take_over(0)
    cursor = msgspec.structs.replace(start, begun=True, topic_ids=dict(ids), partitions=2, noted_from_ms=0)
    await state.begin(cursor)
    intake = merge(Decoded(decided, [], [0, 1], [NOW_MS, NOW_MS], []), Decoded.of_none(), Money("EUR"))
    work = await state.read(intake.ids)
    compute(catalogue_plan(), intake.events, work.rows, 100)
    for slot in range(WRITTEN):
        keep_case(work, slot, "INV-1", NOW_MS)
    cursor = msgspec.structs.replace(cursor, transactions=WRITTEN, outputs={settings.alerts_topic: WRITTEN})
    await state.write(state.pack(work, cursor.position), cursor, {(DAY, "t:INV-1"): b"[true,1250,0,false]"})
    await store.close()


def test_what_a_worker_of_before_wrote_stands_and_its_episodes_go_on(env: dict[str, str], port: int, tmp_path: Path) -> None:
    """Verdicts stand under the ids that they have; open episodes keep theirs, new ones name the card; a note of before judges one label once."""
    env = env | {"THRESHOLD": "0"}
    settings = load_settings(**{k.lower(): v for k, v in env.items()})
    servers = env["KAFKA_BOOTSTRAP_SERVERS"]
    payments: list[Any] = [(card.encode(), raw(TRANSACTION, card_id=card, transaction_id=t)) for card, t in PAYMENTS]
    asyncio.run(publish(servers, env["TRANSACTIONS_TOPIC"], payments))
    asyncio.run(leave(settings))
    fraud = raw(LABEL, card_id="C1", transaction_id="INV-1", labelled_at=NOW_MS)
    genuine = raw(LABEL, card_id="C1", transaction_id="INV-2", labelled_at=NOW_MS, is_fraud=False)
    another = raw(LABEL, card_id="C3", transaction_id="INV-1", labelled_at=NOW_MS, is_fraud=False)
    with worker(env, port, tmp_path) as running:
        until(running.ready, "the worker to be ready")
        until(lambda: running.metric("fraudstream_transactions_scored_total") == len(PAYMENTS) - WRITTEN, "the rest to be decided")
        labels: list[Any] = [(b"C1", fraud), (b"C1", fraud), (b"C1", genuine), (b"C3", another), (b"C1", fraud)]
        asyncio.run(publish(servers, env["LABELS_TOPIC"], labels))
        until(lambda: running.metric("fraudstream_labels_total") == len(labels), "the labels to be counted")
        until(lambda: sum(outcomes(running).values()) >= 3, "every label to be judged")
        assert {o: n for o, n in outcomes(running).items() if n} == {"caught": 1, "false_alarm": 2}
        assert running.stop() == 0, running.log.read_text()
    published = asyncio.run(read(servers, env["ALERTS_TOPIC"], len(PAYMENTS)))
    alerts = [msgspec.json.decode(r.value, type=Alert) for r in published]
    assert [(a.card_id, a.transaction_id) for a in alerts] == PAYMENTS, "none is published twice"
    assert [(a.alert_id, a.case_id) for a in alerts[PUBLISHED:]] == [
        (alert_id_of("C1", "INV-3"), "INV-1"),
        (alert_id_of("C3", "INV-1"), alert_id_of("C3", "INV-1")),
    ]
    scores = [msgspec.json.decode(r.value, type=Score) for r in asyncio.run(read(servers, env["SCORES_TOPIC"], len(PAYMENTS) - WRITTEN))]
    assert [(s.case_id, s.score == 0.875, s.model.name == "former") for s in scores] == [
        ("INV-1", True, True),
        ("INV-1", False, False),
        (alert_id_of("C3", "INV-1"), False, False),
    ]
    assert command(env, "alerts").stdout.count("  terminal M1  ") == len(PAYMENTS)
    with Redis.from_url(env["REDIS_URL"]) as redis:
        notes: Any = redis.hgetall(f"{{{env['CONSUMER_GROUP']}:0}}n:{DAY}")
    assert notes[b"t:INV-1"] == b""
    assert json.loads(notes[f"p:{alert_id_of('C1', 'INV-1')}".encode()]) == [True, 1250, NOW_MS, True, ""]
