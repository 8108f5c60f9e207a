"""One transaction id on four cards, through real servers: four alerts, four outcomes, four decisions, and nobody sees fewer."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from stream_app.features.aggregations import DAY_MS
from stream_app.messages.alert import Alert, alert_id_of
from tests.conftest import ROOT
from tests.e2e.kafka import LABEL, NOW_MS, TRANSACTION, publish, raw, read
from tests.e2e.test_operate import command
from tests.e2e.workers import Worker, worker
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Mapping

CARDS = ("C1", "C2", "C3", "C4")
FRAUDS = ("C1", "C3")
FORMER = NOW_MS - 10 * DAY_MS
"""When they paid: so long ago that their labels have had their time."""


def pay(env: Mapping[str, str], running: Worker) -> None:
    """Each card pays as INV-1, one more pays as INV-2 today; all are decided."""
    payments = [raw(TRANSACTION, transaction_id="INV-1", card_id=card, event_time=FORMER, amount=10.0 + n) for n, card in enumerate(CARDS)]
    later = raw(TRANSACTION, transaction_id="INV-2", card_id="C5")
    of_card = [(card.encode(), value) for card, value in zip(CARDS, payments, strict=True)]
    asyncio.run(publish(env["KAFKA_BOOTSTRAP_SERVERS"], env["TRANSACTIONS_TOPIC"], [*of_card, (b"C5", later)]))
    until(lambda: running.metric("fraudstream_transactions_scored_total") == 5, "all to be decided")


def tell(env: Mapping[str, str], running: Worker) -> None:
    """What became of the four, judged."""
    labels = [
        (
            card.encode(),
            raw(LABEL, transaction_id="INV-1", card_id=card, event_time=FORMER, labelled_at=FORMER + DAY_MS, is_fraud=card in FRAUDS),
        )
        for card in CARDS
    ]
    asyncio.run(publish(env["KAFKA_BOOTSTRAP_SERVERS"], env["LABELS_TOPIC"], labels))
    until(lambda: running.metric("fraudstream_labels_total") == len(CARDS), "the labels to be counted")
    until(lambda: sum(outcomes(running).values()) >= len(CARDS), "every label to be judged")


def outcomes(running: Worker) -> dict[str, float]:
    """What labels made of the decisions."""
    samples = [line for line in running.status("metrics")[1].splitlines() if line.startswith('fraudstream_outcomes_total{change="added"')]
    return {line.split('outcome="')[1].split('"')[0]: float(line.rsplit(" ", 1)[1]) for line in samples}


def example(env: Mapping[str, str], folder: Path) -> list[str]:
    """What the example consumer prints until it has shown all five."""
    settings = {**os.environ, **{f"FRAUDSTREAM_{k}": v for k, v in env.items()}, "ALERTS_GROUP": f"example-{env['CONSUMER_GROUP']}"}
    log = folder / "example.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "examples" / "consume_alerts.py")], env=settings, stdout=output, stderr=output
        )
    try:
        until(lambda: "'INV-2'" in log.read_text() and log.read_text().count("'INV-1'") >= len(CARDS), "the example to show all alerts")
    finally:
        process.kill()
        process.wait()
    return log.read_text().splitlines()


def test_one_transaction_id_on_four_cards_hides_nobody(env: dict[str, str], port: int, tmp_path: Path) -> None:
    """Every payment is alerted (threshold 0), the champion is its own challenger: alerts, example, outcomes, explain and compare have all four."""
    env = env | {"THRESHOLD": "0", "CHALLENGER_ALIAS": "champion"}
    with worker(env, port, tmp_path) as running:
        until(running.ready, "the worker to be ready")
        pay(env, running)
        tell(env, running)
        assert {o: n for o, n in outcomes(running).items() if n} == {"caught": 2, "false_alarm": 2}
        assert running.stop() == 0, running.log.read_text()
    published = [
        msgspec.json.decode(r.value, type=Alert) for r in asyncio.run(read(env["KAFKA_BOOTSTRAP_SERVERS"], env["ALERTS_TOPIC"], 5))
    ]
    assert {a.alert_id for a in published} == {*(alert_id_of(card, "INV-1") for card in CARDS), alert_id_of("C5", "INV-2")}
    assert all(a.case_id == a.alert_id for a in published)
    shown = command(env, "alerts").stdout
    for n, card in enumerate(CARDS):
        assert shown.count(f"card {card}  terminal M1  {10 + n}.00 EUR  INV-1\n") == 1
    told = example(env, tmp_path)
    assert sorted(line.split("card ")[1][:4] for line in told if "'INV-1'" in line) == [f"'{card}'" for card in CARDS]
    compared = command(env, "compare")
    assert "5 payments that both judged" in compared.stdout
    assert "4 payments of 1 day," in compared.stdout
    assert "2 of them fraud; 1 are younger than 7 days" in compared.stdout
    assert compared.returncode == 4, compared.stderr


def test_explain_asks_whose_payment_it_is_and_says_so(env: dict[str, str], port: int, tmp_path: Path) -> None:
    """Without the card all are shown and none is explained; with it, that card's; nothing is said of place, device or country, which nobody knows."""
    with worker(env, port, tmp_path) as running:
        until(running.ready, "the worker to be ready")
        pay(env, running)
        assert running.stop() == 0, running.log.read_text()
    asked = command(env, "explain", "INV-1")
    assert (asked.returncode, asked.stdout) == (65, "")
    *shown, last = asked.stderr.strip().splitlines()
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(FORMER / 1000))
    for n, (card, line) in enumerate(zip(CARDS, sorted(shown), strict=True)):
        assert line.startswith(f"INV-1  card {card}  terminal M1  {10 + n}.00 EUR  {when}  score ")
    assert "'INV-1' is on 4 cards" in last
    assert "--card C1" in last
    explained = command(env, "explain", "INV-1", "--card", "C3", "--all")
    assert explained.returncode == 0, explained.stderr
    head, *lines = explained.stdout.splitlines()
    assert head == f"INV-1  card C3  terminal M1  12.00 EUR  {when}"
    text = "\n".join(lines)
    for unknown in (" 0 km", "0 km/h", " 0.00 EUR", "on this device", "in this country"):
        assert unknown not in text
    assert "The payment names no device." in text
    assert "The payment does not say where it was made." in text
    missing = command(env, "explain", "INV-1", "--card", "C9")
    assert missing.returncode == 65
    assert "'INV-1' of card 'C9' is not among the decisions" in missing.stderr
    assert command(env, "explain", "INV-2").stdout.startswith("INV-2  card C5")
