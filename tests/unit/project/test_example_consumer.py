"""The example consumer sees each alert once, however often it arrives."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stream_app.messages.alert import Alert

ROOT = Path(__file__).parents[3]
EXAMPLE = json.loads((ROOT / "schemas" / "alert.v1.json").read_text())["examples"][0]


def _load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


consumer = _load(ROOT / "examples" / "consume_alerts.py")


def _poll(*ids: str) -> list[bytes]:
    return [json.dumps(EXAMPLE | {"alert_id": i, "transaction_id": i}).encode() for i in ids]


def _alert(name: str) -> Alert:
    return msgspec.json.decode(_poll(name)[0], type=Alert)


def _handle(seen: Any, *ids: str) -> list[str]:
    acted: list[str] = []
    consumer.handle(_poll(*ids), seen, lambda alert: acted.append(alert.alert_id))
    return acted


def test_an_alert_that_arrives_again_is_dropped() -> None:
    """A batch published a second time, or read a second time, has no second effect; what is new in it has its own."""
    seen = consumer.SeenAlerts(capacity=10)
    assert _handle(seen, "a", "b") == ["a", "b"]
    assert _handle(seen, "a", "b", "c") == ["c"]
    assert _handle(seen, "c", "c", "a") == []


def test_an_alert_twice_in_one_poll_is_seen_once_and_in_order() -> None:
    """Repetition within a poll is dropped as well; the first arrivals' order stays."""
    assert _handle(consumer.SeenAlerts(capacity=10), "b", "a", "b", "c", "a") == ["b", "a", "c"]


def test_an_alert_that_could_not_be_acted_on_comes_again() -> None:
    """Ids are remembered after the act, so that a failure in between loses nothing, and what went before is not repeated."""
    seen = consumer.SeenAlerts(capacity=10)

    def fail_at_b(alert: Any) -> None:
        if alert.alert_id == "b":
            raise ConnectionError("the case database is down")

    with pytest.raises(ConnectionError):
        consumer.handle(_poll("a", "b", "c"), seen, fail_at_b)
    assert _handle(seen, "a", "b", "c") == ["b", "c"]


def test_what_is_no_alert_is_left_out_and_the_next_ones_are_acted_on(capsys: pytest.CaptureFixture[str]) -> None:
    """A foreign record, a tombstone and broken bytes are told on stderr; the alerts around them have their effect."""
    acted: list[str] = []
    first, last = _poll("a", "b")
    values = [first, b'{"other": 1}', None, b"\xff", b"[" * 5000, last]
    consumer.handle(values, consumer.SeenAlerts(capacity=10), lambda alert: acted.append(alert.alert_id))
    assert acted == ["a", "b"]
    assert capsys.readouterr().err.count("no alert, left out") == 4


def test_memory_is_bounded_and_keeps_the_newest() -> None:
    """Of four alerts three stay: the oldest goes, and one added again counts as new."""
    seen = consumer.SeenAlerts(capacity=3)
    for name in ("a", "b", "c", "a", "d"):
        _handle(seen, name)
        seen.add(_alert(name))
    assert [name for name in "abcd" if _alert(name) in seen] == ["a", "c", "d"]


def test_alerts_of_different_cards_with_one_transaction_id_are_all_seen() -> None:
    """A transaction's id is unique on its card only; so is the `alert_id` of alerts written before it named the card."""
    former = [json.dumps(EXAMPLE | {"card_id": card, "alert_id": "INV-1", "transaction_id": "INV-1"}).encode() for card in ("c1", "c2")]
    acted: list[str] = []
    consumer.handle([*former, former[0]], consumer.SeenAlerts(capacity=10), lambda alert: acted.append(alert.card_id))
    assert acted == ["c1", "c2"]


def _line(**changes: Any) -> str:
    lines: list[str] = []
    consumer.handle(
        [json.dumps(EXAMPLE | changes).encode()], consumer.SeenAlerts(capacity=1), lambda alert: lines.append(consumer.line(alert))
    )
    return lines[0]


def test_a_line_names_what_an_analyst_needs() -> None:
    """Action, score, card, amount with currency, terminal, first reason: on one line, whatever the ids hold."""
    text = _line(card_id="card\u2028\u200b1")
    assert (
        text
        == "decline  0.87  card 'card\\u2028\\u200b1'  'tx-7f3a91'  12.50 EUR at 'term-0042'  The amount is 9.4 times the card's mean of the 30 days before, 34.50 EUR."
    )
    assert text.isprintable()


def test_an_alert_without_reasons_has_a_line_too() -> None:
    """No reason is no error."""
    assert _line(reasons=[]).endswith("no single reason")


async def _never(*_: object, **__: object) -> None:
    pytest.fail("the example reads from Kafka when it is imported")


def test_importing_the_example_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It can be imported without Kafka: only running it connects."""
    monkeypatch.setattr("aiokafka.AIOKafkaConsumer.start", _never)
    assert callable(_load(ROOT / "examples" / "consume_alerts.py").main)
