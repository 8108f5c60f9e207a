"""The faults, each made for real, and the alarms that must come of them."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from stream_app.adapters.kafka.partitioners import by_crc32
from stream_app.local.stack import LocalStack
from stream_app.rules.lists import CardList, ListedValue, ListEntries
from stream_app.rules.rule import Rule, release_of
from tests.e2e.models import Shelf
from tests.faults import model as rule
from tests.watch import model
from tests.watch.model import BREAKS_AT
from tests.watch.scene import PARTITIONS, Scene
from tests.watch.traffic import labels_of, payments


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault.

    Attributes:
        make: makes it in a fresh scene; the alarms are awaited when it returns, and may be before.
        alarms: that it must raise.
        timeout_s: how long each may take.
    """

    make: Callable[[Scene], Awaitable[None]]
    alarms: tuple[str, ...]
    timeout_s: float = 120.0


async def _bad_records(scene: Scene) -> None:
    """A producer sends what is no JSON; the model, an old one, breaks on a payment."""
    scene.place_model(age_days=100)
    await scene.start()
    await scene.send([*payments(100), *[b"no JSON"] * 20, *payments(1, amount=BREAKS_AT), *payments(100)])
    await scene.through(221)


async def _threshold_too_high(scene: Scene) -> None:
    """Somebody sets a threshold that no score reaches."""
    await scene.start(THRESHOLD="1")
    await scene.send(payments(12_000))
    await scene.through(12_000)


async def _threshold_too_low(scene: Scene) -> None:
    """Somebody sets a threshold that every score reaches."""
    await scene.start(THRESHOLD="0")
    await scene.send(payments(3_000))
    await scene.through(3_000)


async def _another_unit(scene: Scene) -> None:
    """A producer begins to send amounts in cents: as they come, because of a large batch only some are looked at."""
    await scene.start()
    for sent in range(100, 2_100, 100):
        await scene.send(p | {"amount": 100 * p["amount"]} for p in payments(100))
        await scene.through(sent)


async def _redis_frozen(scene: Scene) -> None:
    """Redis stops answering before the worker has done anything, and goes on later."""
    await scene.start()
    redis = scene.ground.process("redis")
    redis.send_signal(signal.SIGSTOP)
    try:
        await scene.send(payments(500))
        await scene.fires(("FraudstreamServerAway", "FraudstreamWorkerStuck"))
    finally:
        redis.send_signal(signal.SIGCONT)
    await scene.through(500)


async def _state_lost(scene: Scene) -> None:
    """The state of a group is deleted, and its topic keeps less than the windows need."""
    await scene.start()
    await scene.send(payments(4_000))
    await scene.through(4_000)
    admin = AIOKafkaAdminClient(bootstrap_servers=scene.ground.addresses.kafka)
    await admin.start()
    places = [TopicPartition(scene.settings.transactions_topic, p) for p in range(PARTITIONS)]
    await admin.delete_records({place: RecordsToDelete(before_offset=100) for place in places})
    await admin.close()
    keys = [key async for key in scene.ground.redis.scan_iter(f"{{{scene.name}:*}}*", count=1000)]
    await scene.ground.redis.unlink(*keys)
    await scene.send(payments(200))
    await scene.through(4_200)
    await scene.send(payments(200))


async def _clocks_differ(scene: Scene) -> None:
    """The clock of the worker is a quarter of an hour behind those of all producers."""
    await scene.start()
    await scene.send(payments(300), ahead_s=900)
    await scene.through(300)


async def _cards_removed(scene: Scene) -> None:
    """Most cards pay for the last time half a year ago, and those of now are few."""
    await scene.start()
    old = [p | {"event_time": p["event_time"] - 180 * 86_400_000, "card_id": f"OLD-{n}"} for n, p in enumerate(payments(2_500))]
    await scene.send(old)
    await scene.through(2_500)

    async def pay() -> None:
        while True:
            await scene.send(payments(50))
            await asyncio.sleep(0.5)

    paying = asyncio.create_task(pay())
    try:
        await scene.fires(("FraudstreamIdleRemoved",))
    finally:
        paying.cancel()


async def _two_partitioners(scene: Scene) -> None:
    """Payments come from a client of librdkafka, labels from one of Java."""
    await scene.start(BATCH_MAX_RECORDS="1")
    paid = list(payments(300))
    await scene.send(paid, place=by_crc32)
    await scene.through(300)
    await scene.send((), labels_of(paid, is_fraud=True))
    await scene.through(600)


async def _workers_gone(scene: Scene) -> None:
    """A worker stands still; then both are gone."""
    await scene.start(2)
    scene.signal(signal.SIGSTOP)
    await scene.fires(("FraudstreamWorkerDown",))
    for worker in scene.workers:
        worker.end()


async def _no_model(scene: Scene) -> None:
    """There is no model behind the alias and none on disk; payments wait."""
    await scene.start(ready=False, MODEL_CACHE=str(scene.folder / "empty"))
    await scene.send(payments(50))


async def _api_breaks(scene: Scene) -> None:
    """Redis stops answering an API, which tells its callers so; then the API is gone."""
    api = await scene.start_api()
    redis = scene.ground.process("redis")
    redis.send_signal(signal.SIGSTOP)

    async def ask() -> None:
        async with httpx.AsyncClient(timeout=30) as client:
            while True:
                await client.get(f"{api.url}/v1/cards/C1")

    asking = asyncio.create_task(ask())
    try:
        await scene.fires(("FraudstreamApiFailing",))
    finally:
        asking.cancel()
        redis.send_signal(signal.SIGCONT)
    api.end()


async def _model_refused(scene: Scene) -> None:
    """The alias is moved to a version whose file is another than the one that was registered."""
    stack = LocalStack(scene.folder / "registry")
    try:
        mlflow = (await asyncio.to_thread(stack.up, ("mlflow",))).mlflow
        shelf, content = Shelf(mlflow, rule.NAME), model.file(int(time.time() * 1000))
        shelf.make()
        shelf.point(rule.ALIAS, shelf.add(content))
        await scene.start(MLFLOW_TRACKING_URI=mlflow, MODEL_CACHE=str(scene.folder / "registered"))
        shelf.point(rule.ALIAS, shelf.add(content, sha256="0" * 64))
        await scene.fires(("FraudstreamModelRefused",))
    finally:
        await asyncio.to_thread(stack.reset)


async def _rules_astray(scene: Scene) -> None:
    """A rule hits far more than it expects, another asks a list that is not there; a list ends tomorrow; somebody else writes into the topic."""
    await scene.start()
    wide = Rule("wide", 1, "amount > 0", "{amount}", "alert", "ann", action="review", expected_share=0.001)
    lost = Rule("lost", 1, "terminal_id in @nowhere", "It hit.", "alert", "ann", action="review")
    soon = ListedValue("M1", int(time.time() * 1000) + 3_600_000)
    await scene.put(
        wide,
        lost,
        release_of([wide, lost], "ann", "to go astray", None),
        CardList("short", "terminal", "ask", "ann", "to end"),
        ListEntries("short", (soon,), "ann", "to end"),
        b"no record",
    )
    in_force = "fraudstream_rules_in_force"
    await scene.until(lambda: scene.workers[0].metric(in_force) == 2, "the release to be in force")
    for sent in range(300, 3_300, 300):
        await scene.send(payments(300))
        await scene.through(sent)


async def _rules_apart(scene: Scene) -> None:
    """One of two workers follows another topic, by its settings; then the topic of both goes."""
    await scene.start()
    await scene.put_rules()
    await scene.start(RULES_TOPIC=f"{scene.name}-of-another")
    await scene.fires(("FraudstreamReleasesDiffer",))
    admin = AIOKafkaAdminClient(bootstrap_servers=scene.ground.addresses.kafka)
    await admin.start()
    await admin.delete_topics([scene.settings.rules_topic])
    await admin.close()


SLOW: dict[str, Fault] = {
    "no-model": Fault(
        _no_model,
        ("FraudstreamWorkerNotReady", "FraudstreamLag", "FraudstreamUndecidedBudgetFast", "FraudstreamUndecidedBudgetSlow"),
        timeout_s=300.0,
    ),
}
"""These take minutes by their nature, and little else: they run beside the others."""

FAULTS: dict[str, Fault] = {
    "bad-records": Fault(_bad_records, ("FraudstreamDeadLetters", "FraudstreamScoringFailed", "FraudstreamModelStale")),
    "threshold-too-high": Fault(_threshold_too_high, ("FraudstreamNoAlerts",)),
    "threshold-too-low": Fault(_threshold_too_low, ("FraudstreamAlertFlood",)),
    "another-unit": Fault(_another_unit, ("FraudstreamDrift",)),
    "redis-frozen": Fault(
        _redis_frozen,
        (
            "FraudstreamServerAway",
            "FraudstreamWorkerStuck",
            "FraudstreamLatency",
            "FraudstreamAlertLatencyBudgetFast",
            "FraudstreamAlertLatencyBudgetSlow",
        ),
    ),
    "clocks-differ": Fault(_clocks_differ, ("FraudstreamClockBehind",)),
    "two-partitioners": Fault(_two_partitioners, ("FraudstreamLabelsElsewhere", "FraudstreamKeysAstray")),
    "cards-removed": Fault(_cards_removed, ("FraudstreamIdleRemoved",)),
    "state-lost": Fault(_state_lost, ("FraudstreamRebuild", "FraudstreamDegraded")),
    "api-breaks": Fault(_api_breaks, ("FraudstreamApiFailing", "FraudstreamApiDown")),
    "model-refused": Fault(_model_refused, ("FraudstreamModelRefused",)),
    "rules-astray": Fault(
        _rules_astray, ("FraudstreamRuleFlood", "FraudstreamRuleFails", "FraudstreamListEnding", "FraudstreamRulesRefused")
    ),
    "rules-apart": Fault(_rules_apart, ("FraudstreamReleasesDiffer", "FraudstreamRulesNotFollowed"), timeout_s=180.0),
    "workers-gone": Fault(_workers_gone, ("FraudstreamWorkerDown", "FraudstreamNoWorker")),
}
