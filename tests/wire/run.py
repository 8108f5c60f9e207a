"""`make wire-check`: what others write is what we read. The last line is one JSON object; the exit code is 1 where anything is not as it should be.

    {"records": N, "aborted": N, "scored": N, "refused": {code: N}, "silent_differences": 0, "controls_failed_as_they_should": true, "skipped": {}}

1. A real Kafka, Redis and schema registry (Apicurio; its front adds the look-up by GUID, by the documented contract alone).
2. Two estates, each a topic: payments by our names, and nested ones of others' names that a mapping reads. Foreign clients send them, librdkafka and
   Apache Kafka's own in Java: by each codec, in each framing, by each partitioner, within transactions that are committed or aborted, beside an
   open one; and records that must be refused.
3. A real worker reads each topic. What it published of every record is held against an oracle (`tests.wire.oracle`) that knows what each should have become.
4. Controls: workers, and an oracle, of which one thing is wrong. Each must be found out, in the records that it concerns and in all of them.

What cannot be had here (a JDK, the registry, the client) is named in `skipped`. WIRE_KEEP=1 keeps the files.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.kafka.topics import create_topics
from stream_app.local.stack import Addresses, LocalStack, free_ports
from stream_app.settings import PREFIX, load_settings
from tests.e2e.test_aborted_transactions import UNCOMMITTED
from tests.e2e.workers import worker
from tests.faults import model
from tests.foreign import CODECS, Client, NoForeignClientError, Placed, foreign_client
from tests.foreign_java import JavaClient, Lot, java_client
from tests.schema_registry import NoSchemaRegistryError, schema_registry
from tests.stored import batches
from tests.waiting import until
from tests.wire.estate import Estate, Nested, Plain, Serializers, spread
from tests.wire.oracle import PARTITIONS, Fate, Kept, Meant, became, differences, expected
from tests.wire.registry_front import with_guids

ALL_CODECS = ("none", *CODECS)
PARTITIONERS = ("murmur2_random", "consistent_random", "")
"""Of librdkafka, Java's and its own; empty: the partition is the record's."""
LOT, IN_TRANSACTION = 8, 4
STILL_S = 5.0
READ_WITHIN_S = 600.0
SHOWN = 12
WORKER = ("-m", "stream_app.cli", "worker")
MOST_AGE_MS = 600_000

type Wrong = Mapping[Placed, str]


@dataclass
class Topic:
    """What an estate sent, what a worker needs to read it, and what became of it."""

    estate: Estate
    env: Mapping[str, str]
    kept: list[Kept] = field(default_factory=list)
    found: Mapping[Placed, Sequence[Fate]] = field(default_factory=dict)


@dataclass
class Control:
    """Something that is wrong on purpose.

    Attributes:
        name: what is wrong.
        topic: whose records are read.
        fates: what the oracle is told that becomes of them.
        read: what became of them.
        concerns: of the records as they were sent, those that must be found out.
        says: what stands in what is said of each of them.
    """

    name: str
    topic: Topic
    fates: Mapping[Placed, Fate]
    read: Callable[[], Mapping[Placed, Sequence[Fate]]]
    concerns: Callable[[Kept], bool]
    says: str


@dataclass
class Check:
    """One run."""

    folder: Path
    addresses: Addresses
    foreign: Client
    java: JavaClient | None
    began_ms: int = field(default_factory=lambda: int(time.time() * 1000) - MOST_AGE_MS)

    def topic(self, estate: Estate, registry: str) -> Topic:
        """Settings of a worker, topics made."""
        mapping = self.folder / f"{estate.name}.yml"
        mapping.write_text(estate.mapping)
        env = {
            "KAFKA_BOOTSTRAP_SERVERS": self.addresses.kafka,
            "REDIS_URL": self.addresses.redis,
            "MLFLOW_TRACKING_URI": model.NO_REGISTRY,
            "MODEL_NAME": model.NAME,
            "MODEL_ALIAS": model.ALIAS,
            "MODEL_CACHE": str(self.folder / "models"),
            "SCHEMA_REGISTRY_URL": registry,
            "TRANSACTIONS_TOPIC": f"{estate.name}-transactions",
            "LABELS_TOPIC": f"{estate.name}-labels",
            **({"MAPPING_FILE": str(mapping)} if estate.mapping else {}),
        }
        topic = Topic(estate, env)
        _make_topics(outputs(env, "first"))
        return topic

    def send(self, topic: Topic) -> None:
        """All that the estate has."""
        estate, brokers, name = topic.estate, self.addresses.kafka, topic.env["TRANSACTIONS_TOPIC"]
        of_java = 0 if self.java is None else len(ALL_CODECS) * 2 * (LOT + IN_TRANSACTION)
        good = estate.good(len(ALL_CODECS) * (len(PARTITIONERS) * LOT + 2 * IN_TRANSACTION) + of_java)
        bad = spread(list(estate.bad()), PARTITIONS)
        for codec in ALL_CODECS:
            for partitioner in PARTITIONERS:
                some = _placed(list(islice(good, LOT)), by_key=bool(partitioner))
                settings = {"partitioner": partitioner} if partitioner else {}
                _keep(topic, some, self.foreign.placed(brokers, name, [one.raw for one in some], codec, settings))
            commit = codec in {"none", "snappy", "zstd"}
            within, beside = (_placed(list(islice(good, IN_TRANSACTION)), by_key=False) for _ in range(2))
            with self.foreign.transaction(brokers, name, [one.raw for one in within], codec, commit=commit) as placed:
                _keep(topic, within, placed, aborted=not commit)
                _keep(topic, beside, self.foreign.placed(brokers, name, [one.raw for one in beside], codec))
        for codec in ("none", "zstd"):
            _keep(topic, bad, self.foreign.placed(brokers, name, [one.raw for one in bad], codec, {"batch.size": 100_000}))
        if self.java is not None:
            self._send_by_java(topic, self.java, good)
        assert next(good, None) is None, "not all was sent"

    def _send_by_java(self, topic: Topic, java: JavaClient, good: Iterator[Meant]) -> None:
        """By Java's partitioner and by none, and in transactions of either end."""
        lots = [
            (_placed(list(islice(good, size)), by_key=by_key), codec, end)
            for codec in ALL_CODECS
            for size, by_key, end in ((LOT, True, ""), (LOT, False, ""), (IN_TRANSACTION, True, "commit"), (IN_TRANSACTION, True, "abort"))
        ]
        sent = [Lot([one.raw for one in some], codec, end) for some, codec, end in lots]
        for (some, _, end), placed in zip(lots, java.placed(self.addresses.kafka, topic.env["TRANSACTIONS_TOPIC"], sent), strict=True):
            _keep(topic, some, placed, aborted=end == "abort")

    def read(self, topic: Topic, name: str, command: tuple[str, ...] = WORKER, **changes: str) -> dict[Placed, list[Fate]]:
        """What a worker publishes of a topic's records."""
        env = {**outputs(topic.env, name), **changes}
        if name != "first":
            _make_topics(env)
        (port,) = free_ports(1)
        with worker(env, port, self.folder, command) as running:
            try:
                until(running.ready, f"the worker to be ready: {name}", READ_WITHIN_S)
                still = Still()
                until(
                    lambda: still.seen(_decided(running.metric)) and running.metric("fraudstream_lag_records") == 0,
                    f"the records of {topic.estate.name} to be read: {name}",
                    READ_WITHIN_S,
                )
            except AssertionError as missed:
                _say(f"{missed}; the log ends with:\n" + "\n".join(running.log.read_text().splitlines()[-5:]))
            running.stop()
        return asyncio.run(became(self.addresses.kafka, env["TRANSACTIONS_TOPIC"], env["SCORES_TOPIC"], env["TRANSACTIONS_DLQ_TOPIC"]))


class Still:
    """Whether a number, once above 0, stays: which records a wrong worker leaves out nobody knows before."""

    def __init__(self) -> None:
        self._last, self._since = 0.0, time.monotonic()

    def seen(self, number: float) -> bool:
        """One look at it."""
        if number != self._last:
            self._last, self._since = number, time.monotonic()
        return bool(number) and time.monotonic() - self._since >= STILL_S


def _decided(metric: Callable[[str], float]) -> float:
    return metric("fraudstream_transactions_scored_total") + metric("fraudstream_dead_letters_total")


def outputs(env: Mapping[str, str], name: str) -> dict[str, str]:
    """The settings, with a group and topics of a worker's own to publish to."""
    of = f"{env['TRANSACTIONS_TOPIC']}-{name}"
    names = {f"{each}_TOPIC": f"{of}-{each.lower()}" for each in ("ALERTS", "SCORES", "TRANSACTIONS_DLQ", "LABELS_DLQ")}
    return {**env, "CONSUMER_GROUP": of, **names}


def _make_topics(env: Mapping[str, str]) -> None:
    settings = load_settings(**{name.lower(): value for name, value in env.items()})
    asyncio.run(create_topics(client_options(settings), settings, partitions=PARTITIONS))


def _placed(records: list[Meant], *, by_key: bool) -> list[Meant]:
    return records if by_key else spread(records, PARTITIONS)


def _keep(topic: Topic, records: Sequence[Meant], placed: Sequence[Placed], *, aborted: bool = False) -> None:
    topic.kept += [Kept(one, at, aborted) for one, at in zip(records, placed, strict=True)]


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)  # noqa: T201 - the check's report


def _show(wrong: Wrong) -> None:
    for place, told in list(wrong.items())[:SHOWN]:
        _say(f"  partition {place[0]}, offset {place[1]}: {told}")
    if len(wrong) > SHOWN:
        _say(f"  and {len(wrong) - SHOWN} more")


def uncovered(topic: Topic, brokers: str) -> str:
    """What the check was to send and did not: codecs that no batch of the topic has."""
    stored = [asyncio.run(batches(brokers, topic.env["TRANSACTIONS_TOPIC"], number)) for number in range(PARTITIONS)]
    return ", ".join(sorted(set(ALL_CODECS) - {batch.codec for some in stored for batch in some}))


def found_out(control: Control) -> bool:
    """Whether what is wrong was found in every record that it concerns."""
    kept = control.topic.kept
    wrong = differences(kept, control.fates, control.read())
    concerned = [one.at for one in kept if control.concerns(one)]
    missed = [at for at in concerned if control.says not in wrong.get(at, "")]
    _say(f"control, {control.name}: {len(wrong)} differences; {len(concerned) - len(missed)} of {len(concerned)} records found out")
    _show({at: wrong.get(at, "as if nothing were wrong") for at in missed})
    return bool(concerned) and not missed


def controls(check: Check, plain: Topic, nested: Topic) -> tuple[Control, ...]:
    """One thing is wrong in each: the oracle, a mapping, how a worker reads, what it lacks."""
    of_plain, of_nested, told = expected(plain.kept), expected(nested.kept), expected(plain.kept, aborted_count=True)
    major = check.folder / "major.yml"
    major.write_text(nested.estate.mapping.replace("unit: minor", "unit: major"))
    return (
        Control(
            "the oracle is told that aborted records count",
            plain,
            told,
            lambda: plain.found,
            lambda one: one.aborted,
            "is published 0 times, not 1",
        ),
        Control(
            "a worker whose mapping takes minor units for major",
            nested,
            of_nested,
            lambda: check.read(nested, "major", MAPPING_FILE=str(major)),
            lambda one: not one.aborted and one.meant.payment is not None and one.meant.payment["currency"] != "JPY",
            "amount is ",
        ),
        Control(
            "a worker that reads what is not committed",
            plain,
            of_plain,
            lambda: check.read(plain, "uncommitted", ("-c", UNCOMMITTED)),
            lambda one: one.aborted,
            "is published 1 times, not 0",
        ),
        Control(
            "a worker without the registry",
            plain,
            of_plain,
            lambda: check.read(plain, "alone", SCHEMA_REGISTRY_URL=""),
            lambda one: not one.aborted and one.meant.payment is not None and "behind an id" in one.meant.kind,
            "code is 'schema_framed'",
        ),
    )


def checked(check: Check, registry: str, front: str, estates: Sequence[Estate]) -> dict[str, object]:
    """The result."""
    topics, differing, uncompressed = list[Topic](), 0, ""
    for estate in estates:
        topic = check.topic(estate, front)
        check.send(topic)
        _say(f"{estate.name}: {len(topic.kept)} records sent, to {registry}'s schemas")
        uncompressed = uncompressed or uncovered(topic, check.addresses.kafka)
        fates = expected(topic.kept)
        topic.found = check.read(topic, "first")
        wrong = differences(topic.kept, fates, topic.found)
        _say(f"{estate.name}: {len(fates)} records read, {len(wrong)} became something else")
        _show(wrong)
        differing += len(wrong)
        topics.append(topic)
    if uncompressed:
        _say(f"no batch was sent by {uncompressed}: the check does not say anything of it")
    every = [fate for topic in topics for those in topic.found.values() for fate in those]
    found = [found_out(control) for control in controls(check, *topics)]
    return {
        "records": sum(len(topic.kept) for topic in topics),
        "aborted": sum(one.aborted for topic in topics for one in topic.kept),
        "scored": sum("score" in fate for fate in every),
        "refused": dict(sorted(Counter(fate["code"] for fate in every if "code" in fate).items())),
        "silent_differences": differing,
        "controls_failed_as_they_should": all(found) and not uncompressed,
    }


def run(folder: Path) -> dict[str, object]:
    """All of it; what cannot be had is in `skipped`."""
    skipped: dict[str, str] = {}
    java = None
    try:
        java = java_client()
    except NoForeignClientError as error:
        skipped["Java"] = str(error)
    model.place(folder / "models")
    stack = LocalStack(folder / "stack")
    try:
        foreign = foreign_client(folder)
        with schema_registry() as registry:
            check = Check(folder, stack.up(("kafka", "redis")), foreign, java)
            guids: dict[str, str] = {}
            estates = (
                Plain(Serializers(foreign, registry, "plain", guids), check.began_ms),
                Nested(Serializers(foreign, registry, "nested", guids), check.began_ms),
            )
            with with_guids(registry.url, guids) as front:
                return checked(check, registry.url, front, estates) | {"skipped": skipped}
    except (NoForeignClientError, NoSchemaRegistryError) as error:
        return {"skipped": skipped | {"all": str(error)}}
    finally:
        stack.reset()


def main() -> int:
    """Run the check; the exit code."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    for name in [n for n in os.environ if n.upper().startswith(PREFIX)]:
        del os.environ[name]  # nobody's own servers are written to here
    folder, began = Path(tempfile.mkdtemp(prefix="wire-")), time.monotonic()
    os.chdir(folder)  # nor those of a `.env`
    try:
        line = run(folder)
    finally:
        if os.environ.get("WIRE_KEEP"):
            _say(f"files in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    _say(f"{time.monotonic() - began:.0f} s")
    print(json.dumps(line), flush=True)  # noqa: T201 - the check's result
    well = line.get("silent_differences", 0) == 0 and line.get("controls_failed_as_they_should", True)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
