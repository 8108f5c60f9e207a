"""The real API in a process of its own, on real servers."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import httpx
import msgspec

from tests.e2e.api_server import KEYS, api_server, make_key, schemathesis
from tests.e2e.models import Shelf, variant, without_parity
from tests.e2e.test_model_change import has_refused
from tests.e2e.test_worker import read
from tests.e2e.workers import Worker
from tests.integration.test_history import bank, transaction
from tests.servers import Servers
from tests.waiting import DEADLINE_S, until


def follows_its_alias(shelf: Shelf, running: Worker, headers: dict[str, str]) -> None:
    """A moved alias is served; a version of other scores is refused, and the one before goes on."""

    def served() -> str:
        return str(httpx.get(f"{running.url}/v1/model", headers=headers, timeout=30).json()["version"])

    before, content = served(), shelf.content()
    better, bad = shelf.add(variant(content, threshold=0.99)), shelf.add(without_parity(content))
    try:
        shelf.point("champion", better)
        until(lambda: served() == better, "the moved alias")
        shelf.point("champion", bad)
        until(lambda: has_refused(running, 1), "the refusal")
        assert served() == better
    finally:
        shelf.point("champion", before)


def test_the_api_answers_as_its_document_says_and_sends_a_label_to_its_card(
    stack: Servers, env: dict[str, str], champion: str, port: int, tmp_path: Path
) -> None:
    """With keys: Schemathesis finds nothing; a label of a card that a worker counted stands in its partition; the alias is followed; a clean stop."""
    key = make_key(tmp_path, "score", "read", "label")
    assert key not in (tmp_path / KEYS).read_text()
    headers = {"Authorization": f"Bearer {key}"}
    now_ms = int(time.time() * 1000)

    async def count_one() -> None:
        async with bank(stack.redis, env["CONSUMER_GROUP"]) as there:
            await there.count(0, [transaction("T1", "C1", "M1", 0)])

    asyncio.run(count_one())
    with api_server({**env, "API_KEYS_FILE": KEYS}, port, tmp_path) as running:
        assert schemathesis(running.url, key, tmp_path, "examples,fuzzing", 10) > 50
        assert httpx.get(f"{running.url}/v1/cards/C1").status_code == 401
        card = httpx.get(f"{running.url}/v1/cards/C1", headers=headers).json()
        assert (card["partition"], card["features"]["card_count_1d"]) == (0, 1)
        label = {"transaction_id": "T1", "card_id": "C1", "terminal_id": "M1", "event_time": card["at"], "amount": 10.0, "is_fraud": True}
        sent = httpx.post(f"{running.url}/v1/labels", json={**label, "labelled_at": now_ms}, headers=headers, timeout=DEADLINE_S)
        assert (sent.status_code, sent.json()["partition"]) == (202, 0), sent.text
        follows_its_alias(Shelf(stack.mlflow, champion), running, headers)
        assert running.stop() == 0, running.log.read_text()
        assert "Traceback" not in running.log.read_text()
    (record,) = asyncio.run(read(stack.kafka, env["LABELS_TOPIC"], 1))
    assert (record.key, msgspec.json.decode(record.value)) == (b"C1", {**label, "labelled_at": now_ms})
