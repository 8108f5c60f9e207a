"""What is timed is the last partition's first decision under a change."""

from __future__ import annotations

import pytest

from tests.faults.rules import Change
from tests.faults.rulings import Read, Ruling
from tests.faults.scene import PARTITIONS
from tests.rules_check.heard import Decided
from tests.rules_check.latency import live_ms, percentile

RELEASE, ENTRIES = Change("rules", 3), Change("lists", 7)
WRITTEN = {RELEASE: 1_000, ENTRIES: 1_050}


def decided(partition: int, at_ms: int, rules: int, lists: int) -> Decided:
    """A decision by one who had read so far."""
    return Decided(partition, at_ms, "worker-1", "tx", 0, Read(rules, lists), Ruling(None, "model"))


def test_a_change_is_live_when_the_last_partition_decides_by_it() -> None:
    """Decisions by less say nothing, and a change is met by whoever has read beyond it.

    partition 0    ..... 1010 (rules 2) ..... 1020 (rules 3) .....
    the others     ..... 1100 to 1102 (rules 4, lists 9) .........
    """
    others = [decided(partition, 1_099 + partition, 4, 9) for partition in range(1, PARTITIONS)]
    heard = [decided(0, 1_010, 2, 6), decided(0, 1_020, 3, 6), *others, decided(0, 1_200, 4, 7)]
    assert live_ms([RELEASE, ENTRIES], WRITTEN, heard) == [1_098 + PARTITIONS - 1_000, 1_200 - 1_050]
    with pytest.raises(AssertionError, match="a partition decided nothing under it"):
        live_ms([ENTRIES], WRITTEN, heard[:-1])


def test_a_percentile_is_one_of_the_values() -> None:
    """By nearest rank: of fewer than a hundred the 99th is the largest."""
    assert (percentile([5, 1, 9], 0.5), percentile([*range(60)], 0.99), percentile([*range(1, 201)], 0.99)) == (5, 59, 198)
