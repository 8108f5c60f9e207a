"""What `stream_app.adapters.faust.batches` relies on inside Faust, mode and aiokafka: a new version that changes it fails here first."""

from __future__ import annotations

import asyncio
import inspect
import tomllib
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from faust.assignor.client_assignment import ClientAssignment, ClientMetadata
from faust.assignor.partition_assignor import PartitionAssignor
from faust.transport import consumer as faust_consumer
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP
from mode.threads import QueueServiceThread, ServiceThread
from mode.utils.futures import maybe_set_exception

from stream_app.adapters.faust.batches import BatchConsumer, BatchTransport, FetchedBatch, _ConsumerThread, use_batches
from stream_app.adapters.faust.in_loop import ConsumerInLoop
from stream_app.adapters.faust.options import faust_options
from stream_app.settings import Settings

TRANSACTIONS, OTHER = TP("transactions", 0), TP("transactions", 1)


def source(thing: Any) -> str:
    """Its source, spaces made one."""
    return " ".join(inspect.getsource(thing).split())


def parameters(function: Any) -> list[str]:
    """Names of its parameters."""
    return list(inspect.signature(function).parameters)


@pytest.mark.parametrize(("name", "extras"), [("aiokafka", "[lz4,snappy,zstd]"), ("faust-streaming", ""), ("mode-streaming", "")])
def test_the_installed_version_is_the_pinned_one(name: str, extras: str) -> None:
    """pyproject.toml pins these to one version each, and that one is what the tests here ran against."""
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"{name}{extras}=={version(name)}" in project["dependencies"]


@pytest.mark.parametrize(
    ("owner", "name", "expected"),
    [
        (Consumer, "getmany", ["self", "timeout"]),
        (Consumer, "_getmany", ["self", "active_partitions", "timeout"]),
        (Consumer, "_wait_next_records", ["self", "timeout"]),
        (Consumer, "_get_active_partitions", ["self"]),
        (Consumer, "_new_offset", ["self", "tp"]),
        (Consumer, "seek_to_committed", ["self"]),
        (Consumer, "assignment", ["self"]),
        (Consumer, "verify_event_path", ["self", "now", "tp"]),
        (AIOKafkaConsumerThread, "seek_wait", ["self", "partitions"]),
        (AIOKafkaConsumerThread, "getmany", ["self", "active_partitions", "timeout"]),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_a_method_that_we_override_or_call_has_its_parameters(owner: Any, name: str, expected: list[str]) -> None:
    """Another signature means another contract."""
    assert parameters(getattr(owner, name)) == expected


def test_the_methods_we_override_are_there_to_override() -> None:
    """A name that Faust no longer has would leave our override never called."""
    for name in ("getmany", "_getmany", "_new_offset", "seek_to_committed", "verify_event_path", "_new_consumer_thread"):
        assert name in vars(BatchConsumer)
        assert any(name in vars(c) for c in Consumer.__mro__)


def test_faust_takes_the_time_of_the_last_record_for_that_of_the_last_fetch() -> None:
    """So it logs "Aiokafka has not sent fetch request" for every partition without records, and for one that waits for room or a model.

    Its detector asks `verify_event_path` of the consumer for each partition, and nothing else: ours says nothing there.
    """
    check = source(AIOKafkaConsumerThread._verify_aiokafka_event_path)
    assert "poll_at = aiotp_state.timestamp / 1000" in check
    assert "if poll_at is None: if secs_since_started >= self.tp_fetch_request_timeout_secs:" in check
    assert "self.verify_event_path(now, tp)" in source(faust_consumer.Consumer.verify_all_partitions_active)
    assert "return self._thread.verify_event_path(now, tp)" in source(Consumer.verify_event_path)
    assert BatchConsumer.verify_event_path(SimpleNamespace(), 0.0, TRANSACTIONS) is None  # type: ignore[arg-type,func-returns-value]


def test_the_broker_holds_no_fetch_for_long() -> None:
    """Our thread makes Faust's consumer and then shortens the wait: aiokafka reads the attribute when it starts its fetcher."""
    assert "AIOKafkaConsumerThread(self, loop=self.loop, beacon=self.beacon)" in inspect.getsource(Consumer._new_consumer_thread)
    assert "_create_worker_consumer" in vars(AIOKafkaConsumerThread)
    assert "fetch_max_wait_ms=self._fetch_max_wait_ms" in inspect.getsource(AIOKafkaConsumer.start)
    assert "fetch_min_bytes=self._fetch_min_bytes" in inspect.getsource(AIOKafkaConsumer.start)
    assert "fetch_max_bytes=self._fetch_max_bytes" in inspect.getsource(AIOKafkaConsumer.start)


def test_what_keeps_a_consumer_out_of_its_group_waits_for_somebody_who_polls() -> None:
    """Our thread takes the place of that, and the routine of the group goes on when it returns; nobody else would hear of it."""
    told = source(GroupCoordinator._push_error_to_user)
    assert "self._pending_exception = exc" in told
    assert "[self._error_consumed_fut, self._closing]" in told
    assert "await self._push_error_to_user(exc) continue" in source(GroupCoordinator._GroupCoordinator__coordination_routine)
    assert "check_errors" not in source(AIOKafkaConsumerThread)
    assert "await self._consumer.start()" in source(AIOKafkaConsumerThread.on_start)
    assert "self._coordinator = GroupCoordinator(" in source(AIOKafkaConsumer.start)
    assert "on_start" in vars(_ConsumerThread)


def test_the_workers_consumer_reads_what_is_committed() -> None:
    """Faust names no level outside its own transactions; aiokafka reads the attribute as it starts, and tells the end of what can be read."""
    assert "isolation_level=self._isolation_level" in inspect.getsource(AIOKafkaConsumer.start)
    assert "return assignment.state_value(partition).lso" in source(AIOKafkaConsumer.last_stable_offset)


def test_all_ends_that_one_answer_of_kafka_told_of_have_one_time() -> None:
    """Aiokafka notes it once for each answer: a label is not taken on a word about payments that is older than the label."""
    assert "return assignment.state_value(partition).timestamp" in source(AIOKafkaConsumer.last_poll_timestamp)
    told = source(Fetcher._proc_fetch_request)
    assert told.count("now_ms = ") == 1
    assert told.index("now_ms = ") < told.index("for topic, partitions in response.topics:") < told.index("tp_state.timestamp = now_ms")


def test_the_consumer_keeps_acknowledged_offsets_in_a_list_and_an_index() -> None:
    """`_acked` is a list for each partition, `_acked_index` a set; `ack` fills both."""
    made = source(faust_consumer.Consumer.__init__)
    assert "self._acked = defaultdict(list)" in made
    assert "self._acked_index = defaultdict(set)" in made
    acknowledged = source(faust_consumer.Consumer.ack)
    assert "acked_index.add(offset)" in acknowledged
    assert "acked_for_tp.append(offset)" in acknowledged
    assert "committed is None or offset >= committed" in acknowledged


def test_the_drain_loop_asks_getmany_again_and_again_whatever_it_yields() -> None:
    """It goes round where nothing is yielded, and lets others run meanwhile: records are delivered within `getmany`."""
    drain = source(faust_consumer.Consumer._drain_messages)
    assert "while not (consumer_should_stop() or fetcher_should_stop()):" in drain
    assert "ait = cast(AsyncIterator, getmany(timeout=1.0))" in drain
    assert "await self.sleep(0) if not self.should_stop: async for tp, message in ait:" in drain


def test_the_consumer_is_a_service_of_the_loop_that_made_it() -> None:
    """Faust's runs in a thread with a loop of its own, to which each call is handed; what starts, stops and calls it is replaced, no more."""
    assert ServiceThread in ConsumerInLoop.__mro__
    assert "self._thread = self.Worker(self) self._thread.start()" in source(ServiceThread.start)
    assert "await self._default_start()" in source(ServiceThread._serve)
    assert "await self._shutdown_thread()" in source(ServiceThread._serve)
    stops = source(ServiceThread._shutdown_thread)
    for step in (
        "on_thread_stop()",
        "_default_stop_children()",
        "set_shutdown()",
        "_default_stop_futures()",
        "_default_stop_exit_stacks()",
    ):
        assert step in stops
    assert "await self._consumer.stop()" in source(AIOKafkaConsumerThread.on_thread_stop)
    assert "if self._method_queue is not None:" in source(QueueServiceThread.on_thread_stop)
    assert parameters(QueueServiceThread.call_thread) == ["self", "fun", "args", "kwargs"]
    assert "cast_thread" not in source(AIOKafkaConsumerThread)
    assert "self._close_thread_loop_on_stop = thread_loop is None" in source(ServiceThread.__init__)
    assert "if fut is not None" in source(maybe_set_exception), "a crash tells a thread that is starting, and there is none"


def test_what_the_consumer_is_asked_is_done_in_place() -> None:
    """Coroutines are awaited, plain functions called: no thread, no queue."""
    consumer: Any = object.__new__(ConsumerInLoop)

    async def twice(n: int) -> int:
        return 2 * n

    async def ask() -> tuple[Any, Any]:
        return await consumer.call_thread(twice, 4), await consumer.call_thread(max, 3, 5)

    assert asyncio.run(ask()) == (8, 5)


def test_waiting_for_records_asks_getmany_of_the_active_partitions() -> None:
    """`_wait_next_records` goes through `_getmany`, our place to ask only for partitions that have room, and answers a pair."""
    wait = source(faust_consumer.Consumer._wait_next_records)
    assert "records = await self._getmany( active_partitions=active_partitions, timeout=timeout, )" in wait
    assert "return records, active_partitions" in wait


def test_a_seek_on_assignment_takes_what_seek_to_committed_returns() -> None:
    """Read and committed offsets start at the cursor that our `seek_to_committed` returned."""
    seek = source(faust_consumer.Consumer.perform_seek)
    assert "_committed_offsets = await self.seek_to_committed()" in seek
    assert "read_offset.update(" in seek
    assert "self._committed_offset.update(committed_offsets)" in seek


def test_a_commit_asks_new_offset_for_each_partition() -> None:
    """`_new_offset` alone says what may be committed."""
    assert "offset = self._new_offset(tp)" in source(faust_consumer.Consumer._filter_committable_offsets)


def test_the_next_offset_to_fetch_is_an_attribute_of_the_assignment() -> None:
    """`AIOKafkaConsumer.position` is a coroutine that waits where there is none; what it returns is read here without it."""
    position = source(AIOKafkaConsumer.position)
    assert "self._subscription.subscription.assignment" in position
    assert "tp_state = assignment.state_value(partition)" in position
    assert "return tp_state.position" in position
    assert "_ensure_consumer" in vars(AIOKafkaConsumerThread)


def test_whether_records_flow_is_an_attribute() -> None:
    """`getmany` delivers nothing where `flow_active` fell while it waited: partitions are being revoked."""
    assert faust_consumer.Consumer.flow_active is True
    assert "self.flow_active" in source(faust_consumer.Consumer.getmany)
    assert "self._thread = self._new_consumer_thread()" in source(faust_consumer.ThreadDelegateConsumer.__init__)


def test_the_transport_makes_the_consumer_that_its_class_names() -> None:
    """`Transport.Consumer` is what `create_consumer` calls; `app.transport` can be set."""
    assert Transport.Consumer is Consumer
    assert BatchTransport.Consumer is BatchConsumer
    assert "self.Consumer(" in source(Transport.create_consumer)
    flow: Any = SimpleNamespace()

    async def bound() -> Any:
        app = faust.App("pins")
        use_batches(app, flow)
        return app.transport.Consumer

    consumer = asyncio.run(bound())
    assert consumer.flow is flow
    assert issubclass(consumer, BatchConsumer)


def bare_consumer() -> Any:
    """A batch consumer with nothing but what `_new_offset` uses."""
    consumer = object.__new__(BatchConsumer)
    consumer._acked, consumer._acked_index = defaultdict(list), defaultdict(set)
    return consumer


def test_the_offset_to_commit_is_the_highest_acknowledged_and_one() -> None:
    """Batches that ended at 99 and 250: 251, then nothing more; the other partition is left alone; gaps are nobody's guess."""
    consumer = bare_consumer()
    consumer._acked[TRANSACTIONS] += [99, 250]
    consumer._acked_index[TRANSACTIONS] |= {99, 250}
    consumer._acked[OTHER] += [7]
    assert consumer._new_offset(TRANSACTIONS) == 251
    assert consumer._new_offset(TRANSACTIONS) is None
    assert not consumer._acked_index[TRANSACTIONS]
    assert consumer._new_offset(OTHER) == 8


def test_what_was_fetched_is_acknowledged_by_its_last_offset() -> None:
    """Records 4 to 9 of one partition: `done` makes 10 the offset to commit."""
    consumer = bare_consumer()
    consumer._fetching, consumer._fetch_failed, consumer._positions = asyncio.Lock(), False, lambda wanted: dict.fromkeys(wanted, 12)
    consumer.flow = SimpleNamespace(taker=lambda *_: "taker")
    records = Records([SimpleNamespace(offset=o) for o in (4, 9)])

    async def getmany(*_: Any) -> Any:
        return {TRANSACTIONS: records}

    consumer._thread = SimpleNamespace(getmany=getmany)
    batch = asyncio.run(consumer._getmany({TRANSACTIONS}, 0))[TRANSACTIONS]
    assert batch[:4] == ("taker", records, 12, 300)
    assert consumer._new_offset(TRANSACTIONS) is None
    batch.done()
    assert consumer._new_offset(TRANSACTIONS) == 10


class Records(list[Any]):
    """Records, and how many bytes they are."""

    size = 300


def test_stock_faust_would_not_commit_batches_that_span_offsets() -> None:
    """Why we override `_new_offset`: to Faust, 99 and 250 are two runs with a gap between."""
    consumer = bare_consumer()
    consumer._gap, consumer._committed_offset = defaultdict(list), defaultdict(lambda: None)
    consumer._acked[TRANSACTIONS] += [99, 250]
    assert faust_consumer.Consumer._new_offset(consumer, TRANSACTIONS) == 100


def fetched(taker: str, offset: int, done: Any = None) -> FetchedBatch:
    """A batch with one record."""
    return FetchedBatch(taker, [SimpleNamespace(offset=offset)], offset + 1, 30, done)


@pytest.mark.parametrize("flow_active", [True, False])
def test_all_that_a_poll_brought_is_delivered_at_once_and_nothing_is_left_for_streams(*, flow_active: bool) -> None:
    """Before anything else runs; nothing where partitions are being revoked."""
    consumer = bare_consumer()
    consumer.flow_active, consumer._get_active_partitions = flow_active, lambda: {TRANSACTIONS, OTHER}
    consumer._stopped = SimpleNamespace(is_set=lambda: False)
    consumer._crashed = consumer._stopped
    delivered: list[Any] = []
    consumer.flow = SimpleNamespace(taker=lambda *at: at, deliver=lambda topic, batch: delivered.append((topic, batch)))
    batches = {TRANSACTIONS: fetched("one", 4), OTHER: fetched("other", 7)}

    async def found(_: float) -> Any:
        return batches, None

    consumer._wait_next_records = found

    async def left() -> list[Any]:
        return [message async for message in consumer.getmany(1.0)]

    assert asyncio.run(left()) == []
    assert delivered == ([("transactions", batch) for batch in batches.values()] if flow_active else [])


def test_aiokafka_answers_getmany_with_lists_by_partition() -> None:
    """The fetcher gives lists of records for each partition, and a named list of partitions limits it."""
    assert parameters(AIOKafkaConsumer.getmany) == ["self", "partitions", "timeout_ms", "max_records"]


class Cluster:
    """Topics and how many partitions they have, as Kafka's metadata say."""

    def __init__(self, topics: dict[str, int]) -> None:
        self._topics = topics

    def partitions_for_topic(self, topic: str) -> set[int]:
        """Their numbers."""
        return set(range(self._topics[topic]))


def assigned(app: Any, workers: list[str], topics: dict[str, int], before: dict[str, Any]) -> dict[str, dict[str, set[int]]]:
    """What the app's own assignor gives each worker; `before` is kept for the next rebalance."""
    assignor = PartitionAssignor(app, replicas=app.conf.table_standby_replicas)
    metadata = {}
    for worker in workers:
        held = before.get(worker, ClientAssignment(actives={}, standbys={}))
        told = ClientMetadata(
            assignment=held, url=f"http://{worker}", changelog_distribution={}, topic_groups={}, external_topic_distribution={}
        )
        metadata[worker] = SimpleNamespace(version=4, subscription=list(topics), user_data=told.dumps())
    answers = assignor.assign(Cluster(topics), metadata)
    found = {}
    for worker, answer in answers.items():
        held = ClientMetadata.loads(PartitionAssignor._decompress(answer.user_data)).assignment
        before[worker] = held
        assert held.kafka_protocol_assignment(app.tables) == [(t, list(p)) for t, p in held.actives.items()]
        found[worker] = {t: set(p) for t, p in held.actives.items()}
    return found


def test_partitions_of_one_number_go_to_one_worker() -> None:
    """Two topics of six over three workers, one leaving, two joining: every worker holds the same numbers of both topics."""
    app = faust.App(**faust_options(Settings()))
    before: dict[str, Any] = {}
    topics = {"transactions": 6, "fraud-labels": 6}
    for workers in (["a", "b", "c"], ["a", "c"], ["a", "c", "d", "e"], ["e"]):
        found = assigned(app, workers, topics, before)
        assert all(held["transactions"] == held["fraud-labels"] for held in found.values())
        assert sorted(p for held in found.values() for p in held["transactions"]) == list(range(6))


def test_the_app_uses_fausts_own_assignor() -> None:
    """With its default of standby replicas: with none, Faust falls back to round robin, which separates the two topics."""
    app = faust.App(**faust_options(Settings()))
    assert isinstance(app.assignor, PartitionAssignor)
    assert app.conf.table_standby_replicas > 0
    chosen = "self.app.assignor if self.app.conf.table_standby_replicas > 0 or has_changelog_tables else RoundRobinPartitionAssignor"
    assert chosen in source(AIOKafkaConsumerThread)


def test_the_consumer_that_faust_makes_is_told_how_to_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that aiokafka does not read would change nothing, and say nothing: each stands in what it starts with."""
    made: Any = SimpleNamespace()
    monkeypatch.setattr(AIOKafkaConsumerThread, "_create_worker_consumer", lambda _self, _transport: made)
    thread: Any = _ConsumerThread.__new__(_ConsumerThread)
    assert thread._create_worker_consumer(None) is made
    assert vars(made).keys() == {"_fetch_max_wait_ms", "_fetch_min_bytes", "_fetch_max_bytes", "_isolation_level"}
    started = inspect.getsource(AIOKafkaConsumer.start)
    assert all(f"self.{name}" in started for name in vars(made))
