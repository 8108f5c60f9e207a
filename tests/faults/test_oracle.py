"""The oracle of the fault suite agrees with the product where nothing fails, and the rule is the model's."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from stream_app.adapters.models.onnx_model import OnnxModel
from stream_app.adapters.models.registry import ModelRegistry
from stream_app.bootstrap import SystemClock
from stream_app.messages.alert import Score
from stream_app.messages.money import Money
from stream_app.messages.transaction import Decoder, IntakeRules, Label, Transaction
from stream_app.scoring.intake import decode_all, merge
from stream_app.scoring.publication import Output
from stream_app.scoring.scorer import Scorer
from tests.faults import model
from tests.faults.ledger import Ledger
from tests.faults.oracle import Oracle
from tests.faults.traffic import Traffic
from tests.memory_store import MemoryStore
from tests.named_ids import ids_of

NOW_S = 1_795_641_600.0
"""Where hours begin, which sums of hours depend on: labels are read long before their payments here, which may move a card into its next hour."""


@dataclass(frozen=True)
class Arrived:
    """A record as Kafka would give it."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int


def scorer(cache: Path) -> Scorer:
    """A scorer with the suite's model, fetched as a worker fetches it."""
    model.place(cache)
    fetched = ModelRegistry(model.NO_REGISTRY, cache).fetch(model.NAME, model.ALIAS)
    assert fetched.origin == "disk"
    return Scorer(OnnxModel(fetched.content, fetched.reference), Money("EUR"), Output("alerts", "scores"), SystemClock())


def test_brute_force_and_product_agree_on_state_and_decisions(tmp_path: Path) -> None:
    """One partition, micro-batches of any size, every odd record: rows, cases, alerts and the counted feature are the same."""
    ledger = Ledger(1)
    traffic = Traffic(seed=7, cards=20, terminals=6, now_s=lambda: NOW_S)
    log = ledger.logs
    for record in traffic.opening(lambda _: 0) + traffic.take(6000):
        log[record.kind, 0].append(record)
    oracle = Oracle(ledger)
    oracle.follow()
    scores, rows, cases = served(scorer(tmp_path), ledger)
    assert {(s.card_id, s.transaction_id): s.action is not None for s in scores} == {n: d.alerted for n, d in oracle.decisions.items()}
    assert len({name for _, name in oracle.decisions}) < len(oracle.decisions), "cards must share ids"
    assert 300 < sum(d.alerted for d in oracle.decisions.values()) < 3000
    assert {(s.card_id, s.transaction_id): s.features[model.FEATURES[1].name] for s in scores} == {
        n: d.count_of_day for n, d in oracle.decisions.items()
    }
    assert cases == {name: card.case_id for (_, name), card in oracle.cards.items()}
    for name, row in rows[0].items():
        np.testing.assert_array_equal(row, oracle.cards[0, name].row(), name)
    for entity, of_entity in zip(("terminal", "device"), rows[1:3], strict=True):
        for name, row in of_entity.items():
            np.testing.assert_array_equal(row, oracle.shared[entity, 0, name].row(), name)
    assert sum(map(len, rows)) == len(oracle.cards) + len(oracle.shared)


def served(decider: Scorer, ledger: Ledger) -> tuple[list[Score], list[dict[str, np.ndarray]], dict[str, str]]:
    """The product without Kafka and Redis: its scores, and its rows of cards and of terminals."""
    store = MemoryStore()
    store.hold([0], 1)
    state, cursor = asyncio.run(store.take_over(0))
    asyncio.run(state.begin(cursor))
    now = int(NOW_S * 1000)
    streams = [[Arrived(n, r.key, r.value, now) for n, r in enumerate(ledger.logs[kind, 0])] for kind in ("transactions", "labels")]
    decoders = Decoder(Transaction, IntakeRules()), Decoder(Label, IntakeRules())
    found: list[Score] = []
    step = 137
    for start in range(0, max(map(len, streams)), step):
        payments = decode_all(streams[0][start : start + step], decoders[0], None)
        labels = decode_all(streams[1][start : start + step], decoders[1], None)
        intake = merge(payments, labels, Money("EUR"))
        work = asyncio.run(state.read(intake.ids))
        messages = decider.decide(intake, work, ("transactions", 0)).messages
        found += [msgspec.json.decode(m.value or b"", type=Score) for m in messages if m.topic == "scores"]
        asyncio.run(state.write(state.pack(work, cursor.position), cursor))
    contents = [record.message for log in ledger.logs.values() for record in log if record.message]
    ids = ids_of(*(sorted({m[f"{e}_id"] for m in contents if f"{e}_id" in m}) for e in ("card", "terminal", "device")))
    last = asyncio.run(state.read(ids))
    rows = [{name: r.own[r.own_at[n]] for n, name in enumerate(names)} for names, r in zip(ids, last.rows, strict=True)]
    return found, rows, dict(zip(ids[0], last.case_ids, strict=True))
