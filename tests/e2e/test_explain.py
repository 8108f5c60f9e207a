"""`fraudstream explain` on real servers: a trained model from MLflow, decisions from Kafka."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stream_app.adapters.models.onnx_model import OnnxModel
from stream_app.adapters.models.registry import ModelRegistry
from stream_app.messages.alert import Score
from stream_app.messages.money import Money
from stream_app.messages.transaction import Decoder, IntakeRules, Label, Transaction
from stream_app.scoring.intake import decode_all, merge
from stream_app.scoring.publication import Output
from stream_app.scoring.scorer import Scorer
from stream_app.settings import load_settings
from tests.e2e.kafka import publish
from tests.e2e.test_operate import command
from tests.memory_store import MemoryStore
from tests.unit.scoring.test_scorer import FakeClock, FakeRecord, payment


def decisions(env: dict[str, str], cache: Path) -> list[bytes]:
    """Decisions of the champion on two payments, as a worker publishes them."""
    settings = load_settings(**{k.lower(): v for k, v in env.items()})
    fetched = ModelRegistry(settings.mlflow_tracking_uri, cache).fetch(settings.model_name, settings.model_alias)
    model = OnnxModel(fetched.content, fetched.reference)
    store = MemoryStore()
    store.hold([0], 1)
    state, cursor = asyncio.run(store.take_over(0))
    asyncio.run(state.begin(cursor))
    sent = [payment("plain", 20), payment("dear", 900, at=1000)]
    records = [FakeRecord(i, b"c1", msgspec.json.encode(p)) for i, p in enumerate(sent)]
    intake = merge(
        decode_all(records, Decoder(Transaction, IntakeRules()), None), decode_all([], Decoder(Label, IntakeRules()), None), Money("EUR")
    )
    scorer = Scorer(model, Money("EUR"), Output(settings.alerts_topic, settings.scores_topic), FakeClock())
    messages = scorer.decide(intake, asyncio.run(state.read(intake.ids)), ("transactions", 0)).messages
    return [m.value or b"" for m in messages if m.topic == settings.scores_topic]


def test_every_decision_can_be_explained_and_one_that_is_not_there_is_told(env: dict[str, str], tmp_path: Path) -> None:
    """Alerted or not: parts that add up to the published raw score, in words or as JSON; foreign records are passed over."""
    published = decisions(env, tmp_path)
    records: list[tuple[bytes | None, bytes | None]] = [(b"c1", v) for v in (b'{"transaction_id": "plain"}', *published)]
    asyncio.run(publish(env["KAFKA_BOOTSTRAP_SERVERS"], env["SCORES_TOPIC"], records))
    for value in published:
        score = msgspec.json.decode(value, type=Score)
        found = json.loads(command(env, "explain", score.transaction_id, "--json").stdout)
        for kind in ("shapley", "along_path"):
            assert found["expected"] + sum(part[kind] for part in found["parts"]) == pytest.approx(score.raw_score, abs=1e-5)
        told: dict[str, Any] = {part["feature"]: part["along_path"] for part in found["parts"]}
        assert {r.feature: r.contribution for r in score.reasons} == {r.feature: pytest.approx(told[r.feature]) for r in score.reasons}
        assert found["alerted"] == (score.action is not None)
    assert "The amount is 900.00 EUR" in command(env, "explain", "dear").stdout
    missing = command(env, "explain", "nobody", "--since", "2020-01-01")
    assert (missing.returncode, len(missing.stderr.strip().splitlines())) == (65, 1)
    assert "'nobody' is not among the decisions" in missing.stderr
    unset = command({**env, "SCORES_TOPIC": ""}, "explain", "dear")
    assert unset.returncode == 78
    assert "FRAUDSTREAM_SCORES_TOPIC is empty" in unset.stderr
