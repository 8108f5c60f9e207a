"""The feature store in Redis: everything a partition writes lives under one hash tag and is written with its cursor.

    {g:p}c:<card_id>      a card
    {g:p}t:<terminal_id>  this partition's part of a terminal
    {g:p}cursor           owner and next offsets

g is the consumer group, p the partition. Two round trips a micro-batch: read under WATCH of the cursor, write under EXEC.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import msgspec
from hiredis import pack_command
from redis.asyncio import Redis
from redis.asyncio.connection import Connection
from redis.exceptions import RedisError, WatchError

from stream_app.adapters.packed_rows import PackedRows
from stream_app.errors import NotOwner, StateError, Unavailable
from stream_app.ports import Cursor, PartitionState, WorkingSet

_CURSOR_FORMAT = Cursor("").format


class RedisStore:
    """Cards and terminals of a consumer group in one Redis."""

    def __init__(self, url: str, group: str) -> None:
        self._redis = Redis.from_url(url, socket_timeout=10, socket_connect_timeout=5)
        self._group = group
        self._held: dict[int, _RedisPartition] = {}

    async def take_over(self, partition: int, partitions: int) -> tuple[PartitionState, Cursor]:
        """See `ports.FeatureStore`: writes a fresh owner into the cursor, so that an owner before this one can write no more."""
        key = f"{{{self._group}:{partition}}}cursor"
        if partition in self._held:
            await self._held.pop(partition).let_go(self._redis)
        try:
            cursor = await self._take_cursor(key)
            connection = await self._redis.connection_pool.get_connection()  # type: ignore[no-untyped-call]
        except (RedisError, OSError) as error:
            raise _unavailable(error) from None
        self._held[partition] = _RedisPartition(connection, self._group, partition, partitions, cursor)
        return self._held[partition], cursor

    async def _take_cursor(self, key: str) -> Cursor:
        """The cursor, under a fresh owner; read again where an owner wrote meanwhile, so that cursor and state stay together."""
        async with self._redis.pipeline() as pipeline:
            while True:
                await pipeline.watch(key)
                before: Any = await pipeline.get(key)
                cursor = msgspec.structs.replace(_read_cursor(before, key), owner=secrets.token_hex(8))
                pipeline.multi()  # type: ignore[no-untyped-call]
                pipeline.set(key, msgspec.json.encode(cursor))
                try:
                    await pipeline.execute()
                except WatchError:
                    continue
                return cursor

    async def ping(self) -> None:
        """See `ports.FeatureStore`."""
        try:
            await self._redis.ping()
        except (RedisError, OSError) as error:
            raise _unavailable(error) from None

    async def info(self, section: str) -> dict[str, Any]:
        """A section of Redis' INFO, for `doctor`."""
        try:
            return dict(await self._redis.info(section))
        except (RedisError, OSError) as error:
            raise _unavailable(error) from None

    async def close(self) -> None:
        """See `ports.FeatureStore`."""
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()


class _RedisPartition:
    """One partition over one connection of its own: WATCH belongs to a connection."""

    def __init__(self, connection: Connection, group: str, partition: int, partitions: int, cursor: Cursor) -> None:
        self._connection: Connection | None = connection
        self._partition = partition
        self._own = f"{{{group}:{partition}}}"
        self._others = [f"{{{group}:{p}}}t:" for p in range(partitions) if p != partition]
        self._cursor = msgspec.json.encode(cursor)
        self._packed = PackedRows()

    async def read(self, card_ids: list[str], terminal_ids: list[str]) -> WorkingSet:
        own = self._own
        wanted = [f"{own}cursor", *[f"{own}c:{c}" for c in card_ids], *[f"{own}t:{t}" for t in terminal_ids]]
        commands: list[tuple[Any, ...]] = [("WATCH", wanted[0]), ("MGET", *wanted)]
        if terminal_ids:
            commands += [("MGET", *[prefix + t for t in terminal_ids]) for prefix in self._others]
        _, values, *parts = await self._round_trip(commands)
        self._check_owner(values[0])
        split = 1 + len(card_ids)
        try:
            return self._packed.unpack((card_ids, values[1:split]), (terminal_ids, values[split:]), parts)
        except StateError as error:
            raise StateError(f"Redis keys {own}…: {error}") from None

    async def write(self, work: WorkingSet, cursor: Cursor) -> None:
        own, encoded = self._own, msgspec.json.encode(cursor)
        cards, terminals = self._packed.pack(work)
        pairs: list[str | bytes] = [f"{own}cursor", encoded]
        for kind, ids, values in (("c:", work.card_ids, cards), ("t:", work.terminal_ids, terminals)):
            for name, value in zip(ids, values, strict=True):
                pairs += (own + kind + name, value)
        *_, written = await self._round_trip([("MULTI",), ("MSET", *pairs), ("EXEC",)])
        if written is None:
            raise self._lost()
        if isinstance(written[0], RedisError):  # an error of a command within EXEC comes as a value
            raise _unavailable(written[0])
        self._cursor = encoded

    async def let_go(self, redis: Redis) -> None:
        """Give the connection back; whoever still holds this partition's state can read and write no more."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect()
            await redis.connection_pool.release(connection)

    def _check_owner(self, cursor: bytes | None) -> None:
        if cursor != self._cursor:
            raise self._lost()

    def _lost(self) -> NotOwner:
        return NotOwner(f"Partition {self._partition} was taken over by another worker; this one let go of it.")

    async def _round_trip(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Send all commands at once, read all answers. A connection that failed half-way is closed: its WATCH goes with it."""
        connection = self._connection
        if connection is None:
            raise self._lost()
        try:
            await connection.send_packed_command(b"".join(pack_command(c) for c in commands))
            answers = [await connection.read_response(disconnect_on_error=True) for _ in commands]
        except (RedisError, OSError) as error:
            await connection.disconnect()
            raise _unavailable(error) from None
        except BaseException:
            await connection.disconnect()  # cancelled between command and answer: the next answer would be the wrong one
            raise
        return answers


def _read_cursor(value: bytes | None, key: str) -> Cursor:
    if value is None:
        return Cursor("")
    try:
        cursor = msgspec.json.decode(value, type=Cursor)
    except msgspec.MsgspecError:
        raise StateError(f"The cursor at Redis key {key!r} cannot be read. The partition has to be rebuilt from the topics.") from None
    if cursor.format != _CURSOR_FORMAT:
        raise StateError(
            f"The cursor at Redis key {key!r} has format {cursor.format}; this version reads {_CURSOR_FORMAT}. Deploy the version that wrote it."
        )
    return cursor


def _unavailable(error: Exception) -> Unavailable:
    return Unavailable(f"Redis did not answer ({type(error).__name__}: {error}). Check FRAUDSTREAM_REDIS_URL and the server.")
