"""What the API answers about a payment that a list declines."""

from __future__ import annotations

import asyncio
import time

import httpx

from stream_app.settings import PREFIX
from tests.faults.scene import Scene
from tests.watch.scene import Process

SILENT = "the API asks no rules: it does not say that it reads their topics, or its answer has no `decided_by`"


async def asked_api(scene: Scene, terminal: str) -> dict[str, str]:
    """Ask about a payment at a blocked terminal: it is declined as workers do. What could not be asked, and why."""
    api = Process(scene.folder, "api", {name.removeprefix(PREFIX): value for name, value in scene.fleet.env.items()})
    try:

        async def ready() -> bool:
            return bool(await asyncio.to_thread(api.page, "readyz"))

        await scene.until(ready, "the API to be ready")
        answer = await asyncio.to_thread(_answer, api.url, terminal)
        reads = f"Topic {scene.settings.lists_topic!r} is read up to" in api.log.read_text(errors="replace")
        if not reads or "decided_by" not in answer:
            return {"api": SILENT}
        assert (answer["action"], answer["decided_by"]) == ("decline", "block"), answer
        return {}
    finally:
        api.end()


def _answer(url: str, terminal: str) -> dict[str, object]:
    payment = {
        "transaction_id": "asked",
        "event_time": time.time_ns() // 1_000_000,
        "card_id": "card-1",
        "terminal_id": terminal,
        "amount": 10.0,
        "currency": "EUR",
    }
    return dict(httpx.post(f"{url}/v1/score", json=payment, timeout=30).raise_for_status().json())
