"""Other people's wire formats through a real worker: a foreign client serializes by a real registry and sends, the scores are read."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from stream_app.local.stack import free_ports
from tests.e2e.kafka import LABEL, NOW_MS, TRANSACTION, raw, read
from tests.e2e.test_codecs import run, scored
from tests.e2e.test_recovery import Group
from tests.e2e.workers import worker
from tests.faults.proxy import Proxy
from tests.foreign import Client, Raw, Serializer
from tests.schema_registry import Registry
from tests.unit.wire.records import schema
from tests.waiting import DEADLINE_S, until

EACH = 10
PROTOBUF = 'syntax = "proto3"; message Payment { string transaction_id = 1; }'
LABELS = schema(currency=..., is_fraud="boolean", labelled_at="long")
KEYS = '"string"'
UP = 'fraudstream_server_up{server="schema registry"}'


def avro(foreign: Client, registry: Registry, topic: str, messages: list[dict[str, Any]], text: str) -> list[Raw]:
    """Records of messages, values and keys in Avro."""
    values = foreign.serialized(registry.url, Serializer(topic, text), messages)
    keys = foreign.serialized(registry.url, Serializer(topic, KEYS, part="key"), [m["card_id"] for m in messages])
    return [Raw(value.content, key.content) for value, key in zip(values, keys, strict=True)]


def numbered(good: dict[str, Any], first: int = 0) -> list[dict[str, Any]]:
    """Messages like this one, with ids of their own."""
    return [good | {"transaction_id": f"T{i}"} for i in range(first, first + EACH)]


def letters(env: dict[str, str], count: int) -> list[str]:
    """Codes of the dead letters of payments."""
    return [
        dict(r.headers)["error.code"].decode()
        for r in asyncio.run(read(env["KAFKA_BOOTSTRAP_SERVERS"], env["TRANSACTIONS_DLQ_TOPIC"], count))
    ]


def scores(env: dict[str, str], count: int) -> list[dict[str, Any]]:
    """The decisions."""
    return [json.loads(r.value) for r in asyncio.run(read(env["KAFKA_BOOTSTRAP_SERVERS"], env["SCORES_TOPIC"], count))]


def test_framed_avro_of_a_foreign_client_is_scored_like_plain_json_and_found_again_by_verify(
    env: dict[str, str], foreign: Client, registry: Registry, port: int, tmp_path: Path
) -> None:
    """Payments and labels, keys and values, plain ones between; what cannot be read has its code, and its neighbours go on."""
    env = {**env, "SCHEMA_REGISTRY_URL": registry.url, "THRESHOLD": "0"}
    servers, payments, labels = (env[name] for name in ("KAFKA_BOOTSTRAP_SERVERS", "TRANSACTIONS_TOPIC", "LABELS_TOPIC"))
    protobuf = registry.register("protobuf-value", PROTOBUF, "PROTOBUF")
    good = avro(foreign, registry, payments, numbered(TRANSACTION), schema())
    wrong = [
        Raw(good[0].value and good[0].value[:9], b"C1"),
        Raw(b"\0\0", b"C1"),
        Raw(b"\0\x7f\xff\xff\xff", b"C1"),
        Raw(b"\0" + protobuf.to_bytes(4) + b"\x0a\x02T1", b"C1"),
        Raw(avro(foreign, registry, "lacks", numbered(TRANSACTION), schema(currency=...))[0].value, b"C1"),
    ]
    with worker(env, port, tmp_path) as running:
        until(running.ready, "the worker to be ready")
        foreign.send(servers, payments, [*good[:5], *wrong, *good[5:], Raw(raw(TRANSACTION, transaction_id="plain"), b"C1")])
        foreign.send(servers, labels, avro(foreign, registry, labels, numbered(LABEL), LABELS))
        until(lambda: scored(running) == EACH + 1, "all to be decided")
        until(lambda: running.metric("fraudstream_labels_total") == EACH, "the labels to be counted")
        assert running.stop() == 0, running.log.read_text()
    assert letters(env, len(wrong)) == ["not_avro", "wrong_frame", "unknown_schema", "schema_refused", "schema_lacks_field"]
    made = scores(env, EACH + 1)
    assert [s["transaction_id"] for s in made] == [*(f"T{i}" for i in range(EACH)), "plain"]
    assert [s["features"]["card_count_1d"] for s in made] == [i + 1.0 for i in range(EACH + 1)]
    verified = run(env, "-m", "stream_app.cli", "verify")
    found = json.loads(verified.stdout.splitlines()[-1])
    assert (verified.returncode, found["vectors"], found["differences"]) == (0, EACH + 1, 0), verified.stderr
    doctor = run(env, "-m", "stream_app.cli", "doctor")
    assert f"the schema registry answers at {registry.url}" in " ".join(doctor.stdout.split()), doctor.stdout


def test_records_wait_for_a_registry_that_is_away_and_are_decided_once_it_answers(
    env: dict[str, str], foreign: Client, port: int, tmp_path: Path, registry: Registry
) -> None:
    """None is a dead letter: readiness, metric and log say what is waited for, and that it is back. A next worker does without it, by its copies."""
    (there,) = free_ports(1)
    between = Proxy(there, registry.port)
    between.refuses = True
    between.start()
    env = {**env, "SCHEMA_REGISTRY_URL": registry.url.replace(str(registry.port), str(there)), "THRESHOLD": "0"}
    servers, topic = env["KAFKA_BOOTSTRAP_SERVERS"], env["TRANSACTIONS_TOPIC"]
    records, more = (avro(foreign, registry, topic, numbered(TRANSACTION, i), schema()) for i in (0, EACH))
    with worker(env, port, tmp_path) as running:
        until(running.ready, "the worker to be ready, for no record needs the registry")
        foreign.send(servers, topic, [Raw(raw(TRANSACTION, transaction_id="plain"), b"C1"), *records])
        until(lambda: scored(running) == 1 and running.status("readyz")[0] == 503, "the worker to say that it waits")
        assert "Schema registry does not answer" in running.status("readyz")[1]
        assert f"{UP} 0.0" in running.status("metrics")[1]
        between.heal()
        until(lambda: scored(running) == EACH + 1, "those that waited to be decided")
        until(running.ready, "the worker to be ready again")
        assert running.stop() == 0, running.log.read_text()
        assert "Schema registry answers again" in running.log.read_text()
        assert running.log.read_text().count("Traceback") == 0
    between.stop()
    with worker(env, port, tmp_path) as running:
        until(running.ready, "a next worker to be ready")
        foreign.send(servers, topic, more)
        until(lambda: scored(running) == EACH, "it to decide by its copies of the schemas")
        assert running.stop() == 0, running.log.read_text()
        assert "Copies of schemas" in running.log.read_text()
    assert [s["transaction_id"] for s in scores(env, 2 * EACH + 1)] == ["plain", *(f"T{i}" for i in range(2 * EACH))]


MAPPING = """
columns:
  transaction_id: payload.after.id
  event_time: {path: payload.after.paid_at, unit: us}
  card_id: payload.after.pan
  terminal_id: payload.after.shop
  amount: {path: payload.after.cents, unit: minor}
  type: {path: payload.after.kind, values: {P: purchase, R: refund}, default: purchase}
  approved: payload.after.approved
  country: payload.after.country
  channel: payload.after.channel
  device_id: payload.after.device
  latitude: payload.after.where.latitude
  longitude: payload.after.where.longitude
constants: {currency: EUR}
tokens: [card_id]
key: payload.pan
"""
CARD_NUMBER = "4111111111111111"


def changed_row(number: int, **row: Any) -> bytes:
    """A row as Debezium tells of it, in JSON."""
    after = {"id": f"T{number}", "paid_at": NOW_MS * 1000, "pan": int(CARD_NUMBER), "shop": "M1", "cents": 1250, "kind": "P"} | row
    return json.dumps({"schema": {}, "payload": {"before": None, "after": after, "op": "c"}}).encode()


def test_nested_records_of_others_are_scored_by_a_mapping_through_a_lost_redis_and_verify(
    env: dict[str, str], foreign: Client, port: int, tmp_path: Path
) -> None:
    """Paths, units, constants, tokens, a part of the key: published plainly, rebuilt and verified by the same mapping. No card number is left anywhere."""
    (tmp_path / "mapping.yml").write_text(MAPPING)
    env = {**env, "MAPPING_FILE": str(tmp_path / "mapping.yml"), "THRESHOLD": "0"}
    servers, topic = env["KAFKA_BOOTSTRAP_SERVERS"], env["TRANSACTIONS_TOPIC"]
    key = json.dumps({"payload": {"pan": int(CARD_NUMBER)}}).encode()
    wrong = [changed_row(90, kind="X"), changed_row(91, cents=1.5), changed_row(92, id=None), raw(TRANSACTION), b"{"]
    lot = [Raw(changed_row(i), key, timestamp_ms=NOW_MS) for i in range(EACH)]
    with worker(env, port, tmp_path) as running:
        until(running.ready, "the worker to be ready")
        foreign.send(servers, topic, [*lot[:5], *(Raw(value, key, timestamp_ms=NOW_MS) for value in wrong), *lot[5:]])
        until(lambda: scored(running) == EACH, "all to be decided")
        running.process.kill()
        running.process.wait()
    Group(env).put({})
    with worker(env, port, tmp_path) as running:
        until(running.ready, "the next worker to be ready")
        foreign.send(servers, topic, [Raw(changed_row(EACH), key, timestamp_ms=NOW_MS)])
        made = scores(env, EACH + 1)
        assert running.stop() == 0, running.log.read_text()
    assert [s["transaction_id"] for s in made] == [f"T{i}" for i in range(EACH + 1)]
    assert [s["features"]["card_count_1d"] for s in made] == [i + 1.0 for i in range(EACH + 1)]
    assert {s["features"]["amount"] for s in made} == {12.5}
    assert letters(env, len(wrong)) == ["unknown_value", "wrong_type", "missing_field", "missing_field", "not_json"]
    for of in ("SCORES_TOPIC", "ALERTS_TOPIC", "TRANSACTIONS_DLQ_TOPIC"):
        told = asyncio.run(read(servers, env[of], len(wrong) if "DLQ" in of else EACH + 1))
        assert not [r for r in told if CARD_NUMBER.encode() in (r.value or b"") + (r.key or b"")], of
    verified = run(env, "-m", "stream_app.cli", "verify")
    found = json.loads(verified.stdout.splitlines()[-1])
    assert (verified.returncode, found["vectors"], found["differences"]) == (0, EACH + 1, 0), verified.stderr


def test_a_mapping_that_cannot_be_used_ends_the_worker_with_its_line(env: dict[str, str], port: int, tmp_path: Path) -> None:
    """Exit code 78, before anything is read."""
    (tmp_path / "mapping.yml").write_text(MAPPING.replace("paid_at, unit: us", "paid_at, unit: minutes"))
    with worker({**env, "MAPPING_FILE": str(tmp_path / "mapping.yml")}, port, tmp_path) as running:
        assert running.process.wait(DEADLINE_S) == 78, running.log.read_text()
        log = running.log.read_text()
    assert "Line 4: unit is 'minutes'; it is one of s, ms, us, ns, min, h, d, iso8601." in log
    assert "Traceback" not in log
