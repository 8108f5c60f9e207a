"""What `stream_app.adapters.kafka` relies on inside aiokafka, and that every private name of a library which an adapter uses is named by a test of pins."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.cluster import ClusterMetadata
from aiokafka.consumer import AIOKafkaConsumer
from aiokafka.consumer.fetcher import FetchResult, PartitionRecords
from aiokafka.consumer.subscription_state import TopicPartitionState
from mode.threads import ServiceThread

ADAPTERS = Path(__file__).parents[3] / "stream_app" / "adapters"
OF_NAMED_TUPLES = {"_replace", "_asdict", "_fields", "_make"}
"""Documented, whatever they begin with."""
PINS = ("test_faust_pins.py", "test_aiokafka_pins.py")


def source(thing: Any) -> str:
    """Its source, spaces made one."""
    return " ".join(inspect.getsource(thing).split())


def test_the_admin_client_sends_any_request_by_send_request() -> None:
    """To any node, where none is named; aiokafka's own question for metadata knows no ids of topics, and may create one."""
    assert list(inspect.signature(AIOKafkaAdminClient._send_request).parameters) == ["self", "request", "node_id"]
    assert "return await self._client.send(node_id, request)" in source(AIOKafkaAdminClient._send_request)


def test_the_client_of_a_consumer_knows_which_topics_it_may_not_see() -> None:
    """Waiting for them to be known takes for ever: `_client.cluster.unauthorized_topics` says why."""
    assert "self._client = AIOKafkaClient(" in source(AIOKafkaConsumer.__init__)
    assert ClusterMetadata(bootstrap_servers=[]).unauthorized_topics == set()
    assert "self.unauthorized_topics = _new_unauthorized_topics" in source(ClusterMetadata.update_metadata)


def test_what_was_fetched_is_checked_and_moved_past_by_its_own_methods() -> None:
    """Our `getall` does both as aiokafka's does: `check_assignment` of `_topic_partition` before, `_update_position` after."""
    getall = source(FetchResult.getall)
    assert "tp = self._topic_partition if not self.check_assignment(tp) or not self.has_more(): return []" in getall
    assert "self._update_position() self._partition_records = None" in getall
    assert "state.consumed_to(self._partition_records.next_fetch_offset)" in source(FetchResult._update_position)


def test_a_batch_is_unpacked_in_the_frame_of_unpack_records() -> None:
    """Its local names say which batch could not be: `_unpack_records` walks `records` of `self`, `next_batch` by `next_batch`."""
    unpack = source(PartitionRecords._unpack_records)
    assert "next_batch = records.next_batch()" in unpack
    assert "self._records_iterator = self._unpack_records()" in source(PartitionRecords.__init__)


def test_the_next_offset_of_a_partition_is_none_until_it_has_one() -> None:
    """`_position` is read where `position` would fail: nothing was sought yet."""
    state: Any = object.__new__(TopicPartitionState)
    state._position = None
    assert not state.has_valid_position
    state._position = 7
    assert state.position == 7


def test_a_service_thread_is_started_where_thread_started_is_not_set() -> None:
    """Started in place, `_thread_started` is set as Faust's own start sets it: else it would be started twice."""
    assert "if not self._thread_started.is_set(): await self.start()" in source(ServiceThread.maybe_start)
    assert "self._thread_started.set()" in source(ServiceThread.start)


def _private(file: Path) -> Iterator[str]:
    """Private names that a module asks of what is not its own."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    own |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    asked = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr.startswith("_") and node.attr[:2] != "__"]
    own |= {node.attr for node in asked if isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name) and node.value.id == "self"}
    yield from (node.attr for node in asked if node.attr not in own | OF_NAMED_TUPLES)


def test_each_private_name_of_a_library_is_pinned_by_a_test_that_names_it() -> None:
    """A new version that changes one fails there first, and not in a worker."""
    pinned = "".join((Path(__file__).parent / name).read_text(encoding="utf-8") for name in PINS)
    used = {f"{file.relative_to(ADAPTERS)}: {name}" for file in sorted(ADAPTERS.rglob("*.py")) for name in _private(file)}
    assert any(name.endswith("_subscription") for name in used), "nothing was found: this test sees nothing"
    assert {name for name in used if not re.search(rf"\b{name.split(': ')[1]}\b", pinned)} == set()
