"""Whose partitioner put a key where it stands."""

from __future__ import annotations

import pytest

from stream_app.adapters.kafka.partitioners import PARTITIONERS, by_crc32, by_murmur2
from stream_app.delivery.placement import Partitioner, verified
from stream_app.errors import TopologyError

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
