"""`fraudstream dlq` and `alerts` against real Kafka: a mended record goes back once, whoever was killed in between; the newest alerts of all partitions."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import typer
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.kafka.publisher import KafkaPublisher
from stream_app.adapters.kafka.returning import returning_producer
from stream_app.commands.alerts import alerts_command
from stream_app.commands.dlq import replay, show
from stream_app.commands.letter_lines import LetterLine
from stream_app.commands.topic_records import read_topic
from stream_app.delivery.dead_letter import dead_letter
from stream_app.delivery.sent_back import SENT_BACK, ReturnedRecord, letter_of
from stream_app.errors import RecordError, Refused
from stream_app.settings import load_settings
from tests.e2e.kafka import LABEL, NOW_MS, TRANSACTION, make_topic, raw
from tests.topics import Kept
from tests.unit.commands.test_newest_alerts import EXAMPLE
from tests.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from stream_app.settings import Settings

pytestmark = pytest.mark.servers
PARTITIONS = 2
HEADERS = tuple((name, b"1") for name in ("error.code", "error.message", "source.topic", "source.partition", "source.offset"))


@pytest.fixture
def settings(stack: Any, unique: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Topics of this test alone."""
    names = {
        "TRANSACTIONS_TOPIC": f"in-{unique}",
        "LABELS_TOPIC": f"labels-{unique}",
        "ALERTS_TOPIC": f"alerts-{unique}",
        "TRANSACTIONS_DLQ_TOPIC": f"dlq-{unique}",
        "LABELS_DLQ_TOPIC": f"labels-dlq-{unique}",
        "CONSUMER_GROUP": f"group-{unique}",
        "KAFKA_BOOTSTRAP_SERVERS": stack.kafka,
    }
    for name, value in names.items():
        monkeypatch.setenv(f"FRAUDSTREAM_{name}", value)
    made = load_settings()
    for topic in made.topics():
        asyncio.run(make_topic(stack.kafka, topic, PARTITIONS))
    return made


async def read(settings: Settings, topic: str) -> list[Any]:
    """What workers see of an input."""
    return [record async for records in read_topic(settings, topic, committed=True) for record in records]


async def refuse(settings: Settings, records: list[tuple[str, Kept]]) -> None:
    """Letters of these records, each of an input, as a worker publishes them; all of partition 1."""
    dlq = {settings.transactions_topic: settings.transactions_dlq_topic, settings.labels_topic: settings.labels_dlq_topic}
    publisher = KafkaPublisher(client_options(settings))
    await publisher.start()
    for topic, record in records:
        letter = dead_letter(record, RecordError("wrong_type", "It is wrong."), (topic, 1), dlq[topic], redacted=("card_id",))
        await publisher.publish(1, [letter], [("source.cursor", b"a:1,b:2")])
    await publisher.stop()


def lines(capsys: pytest.CaptureFixture[str]) -> list[LetterLine]:
    """What `dlq show --json` prints."""
    show(code="", since=None, limit=50, as_json=True)
    return [msgspec.json.decode(line, type=LetterLine) for line in capsys.readouterr().out.splitlines()]


def replayed(file: Path, letters: list[LetterLine], capsys: pytest.CaptureFixture[str], *, dry_run: bool = False) -> tuple[int, str, str]:
    """Exit code, and what `dlq replay` told, of a file with these lines."""
    file.write_bytes(b"\n".join(map(msgspec.json.encode, letters)))
    with pytest.raises(typer.Exit) as ended:
        replay(file, dry_run=dry_run)
    told = capsys.readouterr()
    return ended.value.exit_code, told.out, told.err


def test_a_mended_record_goes_back_once(settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With its producer's headers and the letter's place, to the partition of its key; again, unmended, cut or redacted it is refused, and told."""
    payments, labels = settings.transactions_topic, settings.labels_topic
    records = [
        (payments, Kept(10, NOW_MS, b"C1", raw(TRANSACTION, amount="12"), (("traceparent", b"00-1"),))),
        (payments, Kept(11, NOW_MS, b"C1", raw(TRANSACTION, transaction_id="T2", country="FRA"))),
        (payments, Kept(12, NOW_MS, b"C1", b"x" * 70_000)),
        (payments, Kept(13, NOW_MS, b"4111111111111111", raw(TRANSACTION, card_id="4111111111111111"))),
        (payments, Kept(14, NOW_MS, None, raw(TRANSACTION, transaction_id="T5"))),
        (labels, Kept(15, NOW_MS, b"C1", raw(LABEL, is_fraud="J"))),
    ]
    asyncio.run(refuse(settings, records))
    shown = {line.source.rpartition(":")[2]: line for line in lines(capsys)}
    assert sorted(shown) == ["10", "11", "12", "13", "14", "15"]
    show(code="", since=str(int(time.time() * 1000) + 3_600_000), limit=50, as_json=True)
    assert capsys.readouterr().out == ""
    assert [bool(shown[at].needs) for at in ("10", "11", "12", "13", "14", "15")] == [False, False, True, True, True, False]
    for at, value in (("10", raw(TRANSACTION)), ("14", raw(TRANSACTION, transaction_id="T5")), ("15", raw(LABEL))):
        shown[at].value = value.decode()
    shown["14"].key = "C1"
    letters = [shown[at] for at in sorted(shown)]
    assert replayed(tmp_path / "l", letters, capsys, dry_run=True)[1] == (
        "3 would be sent back, 2 cannot go back, 1 would be refused again.\n"
    )
    code, out, err = replayed(tmp_path / "l", letters, capsys)
    assert (code, out) == (1, "3 sent back, 2 cannot go back, 1 would be refused again.\n")
    assert "workers would refuse it again (unknown_value): country 'FRA' is not of ISO 3166-1 alpha-2; send 'FR'." in err
    assert "of the value's 70000 bytes: write the whole record here" in err
    assert "a card number was taken out" in err
    came = until(lambda: both if len(both := asyncio.run(read(settings, payments))) == 2 else [], "what was committed to be seen")
    assert sorted(json.loads(r.value)["transaction_id"] for r in came) == ["T1", "T5"]
    first = next(r for r in came if json.loads(r.value)["transaction_id"] == "T1")
    assert (first.key, first.partition) == (b"C1", 1)
    assert first.headers == (("traceparent", b"00-1"), (SENT_BACK, shown["10"].letter.encode()))
    (label,) = until(lambda: asyncio.run(read(settings, labels)), "what was committed to be seen")
    assert json.loads(label.value)["is_fraud"] is True
    shown["11"].value = raw(TRANSACTION, transaction_id="T2", country="FR").decode()
    again = replayed(tmp_path / "l", [*letters, shown["11"], LetterLine(letter=f"{settings.labels_dlq_topic}:0:99")], capsys)
    assert again[:2] == (1, "1 sent back, 1 are not there, 2 cannot go back, 4 went back before.\n")
    marked = {shown[at].letter for at in ("10", "11", "14", "15")}
    until(lambda: {line.letter for line in lines(capsys) if line.went_back} == marked, "the marks to be seen")


def test_a_replay_that_was_killed_between_leaves_nothing_and_the_next_one_sends(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What stood in its open transaction is aborted by the next one, which it cannot pass: its own commit is refused."""
    asyncio.run(refuse(settings, [(settings.transactions_topic, Kept(10, NOW_MS, b"C1", raw(TRANSACTION)))]))
    (line,) = lines(capsys)
    client, name = client_options(settings), f"{settings.consumer_group}-dlq-replay"

    async def killed() -> tuple[int, str, str]:
        producer = AIOKafkaProducer(**client, transactional_id=name)
        await producer.start()
        await producer.begin_transaction()
        await producer.send_and_wait(settings.transactions_topic, b"half", key=b"C1", partition=1)
        mark = [(SENT_BACK, line.letter.encode())]
        await producer.send_and_wait(settings.transactions_dlq_topic, b"", key=b"half", partition=1, headers=mark)
        told = await asyncio.to_thread(replayed, tmp_path / "l", [line], capsys)
        with pytest.raises(KafkaError):
            await producer.commit_transaction()
        await producer.stop()
        return told

    async def overtaken() -> None:
        letter = letter_of(settings.transactions_dlq_topic, 1, Kept(0, NOW_MS, b"C1", b"{}", HEADERS))
        assert letter is not None
        letter = replace(letter, source=letter.source._replace(topic=settings.transactions_topic))
        counts = {settings.transactions_topic: PARTITIONS}
        async with returning_producer(client, name, counts) as first, returning_producer(client, name, counts):
            with pytest.raises(Refused, match="Another `fraudstream dlq replay` has begun"):
                await first.send(ReturnedRecord(letter, b"C1", raw(TRANSACTION), NOW_MS).messages(1))

    assert asyncio.run(killed())[:2] == (0, "1 sent back.\n")
    until(lambda: sum(line.went_back for line in lines(capsys)) == 1, "the mark to be seen")
    assert replayed(tmp_path / "l", [line], capsys)[:2] == (1, "0 sent back, 1 went back before.\n")
    asyncio.run(overtaken())


def test_the_newest_alerts_of_all_partitions_come_first(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    """Of five in two partitions, one of them twice, the newest three; and since a time; as they were published."""

    async def publish() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers)
        await producer.start()
        for n in (0, 1, 2, 3, 4, 4):
            alert = msgspec.structs.replace(EXAMPLE, transaction_id=f"T{n}", alert_id=f"A{n}", case_id="A0", event_time=NOW_MS + n)
            await producer.send_and_wait(settings.alerts_topic, msgspec.json.encode(alert), key=b"C1", partition=n % PARTITIONS)
        await producer.stop()

    asyncio.run(publish())
    for since, limit, expected in ((None, 3, ["T4", "T3", "T2"]), (str(NOW_MS + 3), None, ["T4", "T3"])):
        alerts_command(follow=False, since=since, limit=limit, as_json=True)
        assert [json.loads(line)["transaction_id"] for line in capsys.readouterr().out.splitlines()] == expected
