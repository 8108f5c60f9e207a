"""Whose partitioner put a key where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from types import SimpleNamespace

import pytest

from stream_app.adapters.kafka.partitioners import PARTITIONERS, by_crc32, by_murmur2
from stream_app.delivery.placement import REMEMBERED, TELLING_KEYS, KeyWatch, Partitioner, together, verified
from stream_app.errors import TopologyError
from tests.unit.delivery.world import World, payment

KEYS = [f"card-{n}".encode() for n in range(200)]


def published(by: Partitioner, counts: list[int]) -> list[tuple[bytes, int]]:
    """Keys where a partitioner puts them among each of these counts in turn."""
    return [(key, by(key, counts[n % len(counts)])) for n, key in enumerate(KEYS)]


def test_murmur2_is_kafkas() -> None:
    """Two vectors of Kafka's own test of its Java client, and what they give among 1,000 partitions."""
    assert by_murmur2(b"21", 1_000) == (-973932308 & 0x7FFFFFFF) % 1_000
    assert by_murmur2(b"foobar", 1_000) == (-790332482 & 0x7FFFFFFF) % 1_000


def test_crc32_is_librdkafkas() -> None:
    """The check value of CRC-32, which is the polynomial that it uses."""
    assert by_crc32(b"123456789", 2**32) == 0xCBF43926


@pytest.mark.parametrize("name", PARTITIONERS)
def test_keys_before_and_after_the_change_show_it(name: str) -> None:
    """Some were placed among two partitions, some among four."""
    assert verified(published(PARTITIONERS[name], [2, 4]), {2, 4}, name, PARTITIONERS)


@pytest.mark.parametrize(("chosen", "fits"), [("murmur2", "crc32"), ("crc32", "murmur2")])
def test_the_wrong_one_is_refused_and_the_right_one_named(chosen: str, fits: str) -> None:
    """As the option to give."""
    with pytest.raises(TopologyError, match=f"--partitioner {fits}"):
        verified(published(PARTITIONERS[fits], [2, 4]), {2, 4}, chosen, PARTITIONERS)


def test_a_partitioner_that_nobody_knows_is_refused() -> None:
    """No state is put where payments would not come."""
    with pytest.raises(TopologyError, match=r"None of murmur2, crc32 fits"):
        verified(published(lambda key, count: len(key) * key[-1] % count, [4]), {2, 4}, "murmur2", PARTITIONERS)


@pytest.mark.parametrize("sample", [published(by_murmur2, [4])[:19], published(by_murmur2, [1])], ids=["few keys", "one partition"])
def test_what_cannot_be_told_is_not_said_to_be_verified(sample: list[tuple[bytes, int]]) -> None:
    """Too few keys, or a place where every partitioner would put them."""
    assert not verified(sample, {1, 4}, "murmur2", PARTITIONERS)


def custom(key: bytes, partitions: int) -> int:
    """A partitioner of somebody's own."""
    return sum(key) * 7 % partitions


def by_turns(*of: Partitioner, keys: list[bytes] = KEYS, partitions: int = 4) -> dict[bytes, int]:
    """Keys as clients of these partitioners put them, taking turns."""
    return {key: by(key, partitions) for key, by in zip(keys, cycle(of), strict=False)}


def watched(payments: Mapping[bytes, int], labels: Mapping[bytes, int], partitions: int = 4) -> tuple[float, float]:
    """What a worker that holds all partitions shows of them."""
    watch = KeyWatch(PARTITIONERS)
    for key, place in payments.items():
        watch.saw(place, partitions, key, None)
    for key, place in labels.items():
        watch.saw(place, partitions, None, key)
    return watch.astray()


@pytest.mark.parametrize("partitions", [1, 2, 3, 4, 24])
@pytest.mark.parametrize(
    "by", [by_murmur2, by_crc32, custom, lambda _key, partitions: partitions - 1], ids=["murmur2", "crc32", "custom", "one"]
)
def test_one_partitioner_for_both_topics_is_well_whichever_it_is(by: Partitioner, partitions: int) -> None:
    """Known to us or somebody's own, or all into one partition."""
    keys = by_turns(by, partitions=partitions)
    assert watched(keys, keys, partitions) == (0, 0)
    together(keys, keys, partitions, PARTITIONERS)


@pytest.mark.parametrize("of", [(by_murmur2, by_crc32), (by_crc32, by_murmur2), (by_murmur2, custom), (custom, by_crc32)])
def test_labels_by_another_partitioner_than_payments_are_told(of: tuple[Partitioner, Partitioner]) -> None:
    """Most of them stand elsewhere among four partitions; the remedy is named."""
    payments, labels = (by_turns(by) for by in of)
    astray = watched(payments, labels)
    assert astray[0] == 0
    assert astray[1] > 0.5
    with pytest.raises(TopologyError, match=r"keys of labels do not stand .*`partitioner=murmur2_random`"):
        together(payments, labels, 4, PARTITIONERS)


@pytest.mark.parametrize("partitions", [2, 4])
def test_payments_of_clients_with_two_partitioners_are_told(partitions: int) -> None:
    """Every third payment is of the other client."""
    keys = by_turns(by_murmur2, by_murmur2, by_crc32, partitions=partitions)
    astray = watched(keys, keys, partitions)
    assert 0.1 < astray[0] < 0.34
    assert astray[1] == 0
    with pytest.raises(TopologyError, match="newest keys of payments were put elsewhere"):
        together(keys, keys, partitions, PARTITIONERS)


def test_labels_of_two_clients_are_told_by_the_payments() -> None:
    """Half of them follow the payments' partitioner."""
    payments, labels = by_turns(by_crc32), by_turns(by_crc32, by_murmur2)
    assert 0.2 < watched(payments, labels)[1] < 0.6
    assert watched(by_turns(custom), labels)[1] > 0.2


def test_a_card_in_two_partitions_is_told_whatever_the_partitioners_are() -> None:
    """Neither of them is known to us: `doctor` compares the places of cards that both topics have."""
    labels = {key: (place + 1) % 4 for key, place in by_turns(custom).items()}
    with pytest.raises(TopologyError, match="200 of 200 cards have their newest payment and their newest label in different partitions"):
        together(by_turns(custom), labels, 4, PARTITIONERS)


def test_few_keys_say_nothing() -> None:
    """By chance they may stand anyhow."""
    few = KEYS[: TELLING_KEYS - 1]
    assert watched(by_turns(by_murmur2, keys=few), by_turns(by_crc32, keys=few)) == (0, 0)


def test_what_was_mended_is_forgotten_as_newer_keys_come() -> None:
    """So many keys are remembered, whatever cards there are, also where each card was seen before."""
    watch = KeyWatch(PARTITIONERS)
    for key, place in by_turns(by_murmur2, by_crc32).items():
        watch.saw(place, 4, key, None)
    assert watch.astray()[0] > 0
    for _ in range(REMEMBERED // 100 + 1):
        for key in KEYS[:100]:
            watch.saw(by_murmur2(key, 4), 4, key, None)
    assert watch.astray()[0] == 0
    for n in range(3 * REMEMBERED):
        watch.saw(0, 4, b"%d" % n, b"%d" % n)
    assert len(watch._payments) == len(watch._labels) == REMEMBERED


def test_a_worker_shows_its_watch_a_key_of_each_batch() -> None:
    """Of payments and of labels, where they stand; nothing of what is counted again."""
    world = World(at_once=100)
    seen: list[tuple[int, int, bytes | None, bytes | None]] = []
    world.keys = SimpleNamespace(saw=lambda *key: seen.append(key))
    world.send([payment("a", 10.0)], [])
    world.run()
    world.commit()
    world.lose_all()
    world.run()
    assert seen == [(0, 1, b"c1", None)]
