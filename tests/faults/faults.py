"""The faults, by name. Each returns when the harm is done; the round then waits until the workers have caught up."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Collection, Iterable
from itertools import batched

import msgspec
import xxhash

from tests.faults import versions
from tests.faults.fleet import Worker
from tests.faults.hostile import hostile_bytes, hostile_keys, hostile_rates, hostile_times
from tests.faults.members import MEMBER_FAULTS, ended, killed, leave
from tests.faults.network import NETWORK_FAULTS
from tests.faults.outages import OUTAGES, below_min_insync
from tests.faults.points import OF_RELEASE, POINTS, Arm
from tests.faults.rolling import rolling_earlier_beside_later, rolling_from_history, rolling_upgrade, shared
from tests.faults.scene import PARTITIONS, Needs, Scene, Stuck
from tests.faults.transactions import labels_left_open, transaction_aborted

BODY, FORMAT_AT = 4, 4
"""Where in a packed value the checksummed part begins, and its format."""

MANY = 200_000

type Fault = Callable[[Scene], Awaitable[None]]


async def kill_at(scene: Scene, point: str) -> None:
    """Kill -9 at a named point; it must have been reached."""
    worker = scene.worker
    passing = 1 if point in {"within_write_open", "within_write_sent", *OF_RELEASE} else scene.random.randrange(1, 5)
    worker.arm(Arm(point, passing))
    await ended(scene, worker, f"{point}, passing {passing}")
    if [line["point"] for line in worker.reached()][-1:] != [point]:
        raise Stuck(f"{worker.name} ended without reaching {point}")


async def kill_anywhere(scene: Scene) -> None:
    """Kill -9 at some instant."""
    await asyncio.sleep(scene.random.uniform(0.2, 1.5))
    await killed(scene, scene.worker)


async def killed_amid_release(scene: Scene) -> None:
    """Kill -9 while a release comes into force, or just after, before anybody decides by it."""
    scene.changer.now()
    await kill_at(scene, scene.random.choice(OF_RELEASE))


async def kill_unseen(scene: Scene) -> None:
    """Kill -9, and nobody tells Kafka: the member is missed after the session timeout."""
    scene.forgets = False
    try:
        await kill_anywhere(scene)
        await scene.recovered("a killed member that Kafka still waits for")
    finally:
        scene.forgets = True


async def ask_to_end(scene: Scene) -> None:
    """SIGTERM; the worker ends with 0."""
    await leave(scene, scene.worker)


async def _second(scene: Scene) -> Worker:
    """A second worker that has joined: each of the two holds its half of the partitions."""
    scene.wanted = 2
    await shared(scene)
    return scene.fleet.running[-1]


async def join_and_leave(scene: Scene) -> None:
    """A second worker joins, works, and leaves."""
    second = await _second(scene)
    await asyncio.sleep(scene.random.uniform(0.5, 2))
    scene.wanted = 1
    await leave(scene, second)


async def stale_owner(scene: Scene) -> None:
    """SIGSTOP within step 3, until another owner went on for a while; then SIGCONT."""
    stale = await stopped_owner(scene)
    await resumed(scene, stale)


async def stopped_owner(scene: Scene, point: str = "within_publish") -> Worker:
    """One of two workers is stopped at a point, and the other went on with its partition."""
    await _second(scene)
    stale = scene.worker
    stale.arm(Arm(point, scene.random.randrange(1, 4), signal.SIGSTOP))

    async def stopped() -> bool:
        return bool(stale.reached())

    await scene.until(stopped, f"{stale.name} to stop at {point}")
    partition = stale.reached()[-1]["partition"]
    left_at = (await scene.ground.cursors(scene.name, PARTITIONS))[partition]

    async def went_on() -> bool:
        now = (await scene.ground.cursors(scene.name, PARTITIONS))[partition]
        return bool(now and now["owner"] != left_at["owner"] and now["transactions"] > left_at["transactions"] + 100)

    await scene.until(went_on, f"another worker to go on with partition {partition}")
    return stale


async def resumed(scene: Scene, stale: Worker) -> None:
    """The stopped worker goes on for a while, and is asked to end."""
    stale.send(signal.SIGCONT)
    await asyncio.sleep(2)
    scene.wanted = 1
    if stale.process.poll() is None:
        stale.send(signal.SIGTERM)
        await ended(scene, stale, "SIGTERM after SIGCONT")


async def killed_in_outage(scene: Scene) -> None:
    """Redis is away for longer than Faust's commit interval, and the worker is killed while it waits."""
    await scene.ground.kill("redis")
    await asyncio.sleep(scene.random.uniform(2.5, 3.5))
    await killed(scene, scene.worker)
    await scene.ground.restart()


async def redis_killed(scene: Scene) -> None:
    """Redis killed and restarted."""
    await scene.ground.kill("redis")
    await asyncio.sleep(scene.random.uniform(0, 2))
    await scene.ground.restart()


async def redis_emptied(scene: Scene) -> None:
    """FLUSHALL."""
    await scene.ground.redis.flushall()


async def redis_rolled_back(scene: Scene) -> None:
    """Redis killed and started on an older append-only file."""
    scene.ground.keep_redis()
    await asyncio.sleep(scene.random.uniform(1, 3))
    await scene.ground.roll_back_redis()


async def kafka_killed(scene: Scene) -> None:
    """Kafka killed and restarted."""
    await scene.ground.kill("kafka")
    await asyncio.sleep(scene.random.uniform(0, 1))
    await scene.ground.restart()


def _cut(value: bytes) -> bytes:
    return value[: len(value) // 2]


def _garbage(value: bytes) -> bytes:
    return bytes(byte ^ 0x5A for byte in value)


def _no_version(value: bytes) -> bytes:
    body = bytes([0]) + value[FORMAT_AT + 1 :]
    return xxhash.xxh32_intdigest(body).to_bytes(BODY, "little") + body


async def damaged(scene: Scene, entity: str, harm: Callable[[bytes], bytes]) -> None:
    """A value of a card or terminal is damaged while no worker runs, then needed; the worker must name it."""
    scene.wanted, dying = 0, list(scene.fleet.running)
    for worker in dying:
        await killed(scene, worker)
    card, terminal = scene.random.choice(scene.traffic.cards), scene.random.choice(scene.traffic.terminals)
    prefix = f"{{{scene.name}:{scene.sender.partition_of(card)}}}"
    name, key = (card, f"{prefix}c:{card}") if entity == "card" else (terminal, f"{prefix}t:{terminal}")
    value = await scene.ground.redis.get(key)
    if not isinstance(value, bytes):
        raise Stuck(f"{key} is not in Redis: nothing to damage")
    await scene.ground.redis.set(key, harm(value))
    await scene.sender.send([scene.traffic.touch(card, terminal)])
    scene.wanted = 1
    await scene.recovered(f"damage of {key}")
    logs = [file.read_text(errors="replace") for file in scene.folder.glob("worker-*.log")]
    if not any(f"'{name}'" in line and "cannot be read" in line for log in logs for line in log.splitlines()):
        scene.unnamed.append(key)


async def damage_read_by_another(scene: Scene) -> None:
    """All parts of terminals in a partition are damaged under its owner, and another worker needs them all the while.

    So many keys of no use beside them that the owner looks through them for longer than a batch of the other takes.
    """
    await _second(scene)
    redis, prefix = scene.ground.redis, f"{{{scene.name}:{scene.random.randrange(PARTITIONS)}}}"
    for batch in batched(range(MANY), 10_000):
        await redis.mset({f"{prefix}x:{n}": b"" for n in batch})
    parts = [key async for key in redis.scan_iter(match=f"{prefix}t:*", count=5000)]
    await redis.mset(dict.fromkeys(parts, b"garbage"))

    async def begun_anew() -> bool:
        return not await redis.exists(f"{prefix}x:0")

    async with scene.nobody_ends():
        await scene.until(begun_anew, f"the state of {prefix} to be begun anew")
        await scene.recovered(f"damage of {len(parts)} terminals of {prefix}")
    scene.wanted, second = 1, scene.fleet.running[-1]
    await leave(scene, second)


async def cursor_damaged(scene: Scene) -> None:
    """A partition's cursor becomes garbage under the running worker."""
    key = f"{{{scene.name}:{scene.random.randrange(PARTITIONS)}}}cursor"
    await scene.ground.redis.set(key, msgspec.json.encode({"owner": 7})[:-3])


def _at(point: str) -> Fault:
    async def at(scene: Scene) -> None:
        await kill_at(scene, point)

    at.__doc__ = f"Kill -9 at the point `{point}` of the protocol."
    return at


def _damage(entity: str, harm: Callable[[bytes], bytes], becomes: str) -> Fault:
    async def damage(scene: Scene) -> None:
        await damaged(scene, entity, harm)

    damage.__doc__ = f"A {entity}'s value in Redis {becomes} while no worker runs, and is needed."
    return damage


FAULTS: dict[str, Fault] = {
    "within_publish": _at("within_publish"),
    "hostile_keys": hostile_keys,
    "hostile_times": hostile_times,
    "hostile_bytes": hostile_bytes,
    "transaction_aborted": transaction_aborted,
    "redis_emptied": redis_emptied,
    "after_publish": _at("after_publish"),
    "stale_owner": stale_owner,
    "redis_rolled_back": redis_rolled_back,
    "within_write_sent": _at("within_write_sent"),
    "kafka_killed": kafka_killed,
    "labels_left_open": labels_left_open,
    "card_cut": _damage("card", _cut, "is cut"),
    "killed_amid_release": killed_amid_release,
    "kill_anywhere": kill_anywhere,
    "redis_killed": redis_killed,
    "killed_in_outage": killed_in_outage,
    "join_and_leave": join_and_leave,
    "rolling_upgrade": rolling_upgrade,
    **{point: _at(point) for point in POINTS if point not in {"within_publish", "after_publish", "within_write_sent"}},
    "ask_to_end": ask_to_end,
    "kill_unseen": kill_unseen,
    "terminal_garbage": _damage("terminal", _garbage, "becomes garbage"),
    "card_of_no_version": _damage("card", _no_version, "becomes one of no version"),
    "damage_read_by_another": damage_read_by_another,
    "cursor_damaged": cursor_damaged,
    "hostile_rates": hostile_rates,
    "rolling_from_history": rolling_from_history,
    "rolling_earlier_beside_later": rolling_earlier_beside_later,
    **OUTAGES,
    **MEMBER_FAULTS,
    **NETWORK_FAULTS,
}
"""Every fault; the first ones make the short form."""
_OF_COMMITS = {"rolling_from_history": versions.OTHER_FORMATS, "rolling_earlier_beside_later": versions.LEAVES_ALONE}


def skipped() -> dict[str, str]:
    """Faults that cannot be made here, and why."""
    reasons = {name: versions.why_not(commit) for name, commit in _OF_COMMITS.items()}
    return {name: why for name, why in reasons.items() if why}


def begins_a_round(fault: str, before: Collection[str]) -> bool:
    """Whether a fault is made upon state of its own: a version from before "newer than I know is not damaged" takes what a later one left for damage."""
    return fault == rolling_from_history.__name__ and not {rolling_upgrade.__name__, rolling_earlier_beside_later.__name__}.isdisjoint(
        before
    )


def needs(faults: Iterable[str]) -> Needs:
    """What a lane with these faults needs."""
    names = set(faults)
    return Needs(proxied=not names.isdisjoint(NETWORK_FAULTS), copies=2 if below_min_insync.__name__ in names else 1)
