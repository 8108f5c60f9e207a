"""The state of one partition at each count of payments and labels that a decision refers to."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from stream_app.audit.history import Count, PartitionHistory, selected
from stream_app.features.compute import Events, Rows, compute
from stream_app.features.packing import Packer
from stream_app.features.plan import Ints, compile_plan

type Versions = dict[str, list[tuple[int, bytes]]]


class Lineage:
    """States in rising order, packed as in the store; those that nobody refers to any more are dropped.

    1. `nodes`: the counts referred to, in order; where one has more labels than a later one (a worker was killed after it counted them),
       only the fewer labels are in its node, and the rest is counted on a copy when it is asked for.
    2. `go_to` counts payments and labels up to a node, from empty state.
    3. `values` gives what cards or parts of shared entities were at a count.
    """

    def __init__(self, history: PartitionHistory, counts: Collection[Count], before: Ints, unit: int) -> None:
        """Stand before the first payment.

        Args:
            history: of the partition.
            counts: all that will be asked for.
            before: for each payment of the history, how many labels were counted when its turn came, 0 where that is not known.
            unit: minor units of a major unit.
        """
        self._history, self._before, self._unit = history, before, unit
        self._plan = compile_plan(())
        self._packers = [Packer(entity.layout) for entity in self._plan.entities]
        self._values: list[Versions] = [{} for _ in self._plan.entities]
        ordered = np.array(sorted(set(counts)), dtype=np.int64).reshape(-1, 2)
        fewest = np.minimum.accumulate(ordered[::-1, 1])[::-1]
        of_nodes = [Count(*pair) for pair in zip(ordered[:, 0].tolist(), fewest.tolist(), strict=True)]
        self._nodes = sorted(set(of_nodes))
        places = {count: place for place, count in enumerate(self._nodes)}
        self._node = {Count(*count): places[of_node] for count, of_node in zip(ordered.tolist(), of_nodes, strict=True)}
        self._at = -1

    def node(self, count: Count) -> int:
        """The node of a count."""
        return self._node[count]

    def labels_missing(self, count: Count) -> range:
        """The labels of a count that are not in its node."""
        return range(self._nodes[self._node[count]].labels, count.labels)

    def go_to(self, count: Count, oldest: int) -> None:
        """Count everything up to a count's node; a count that was passed stays known as long as `oldest` does not pass it.

        Args:
            count: one of those named at the start.
            oldest: the first node that may still be asked for.
        """
        while self._at < self._node[count]:
            start = self._nodes[self._at] if self._at >= 0 else Count(0, 0)
            self._at += 1
            self._step(start, self._nodes[self._at], oldest)

    def _step(self, start: Count, end: Count, oldest: int) -> None:
        order = self._history.interleaved(start, end, self._before[start.payments : end.payments])
        if not len(order):
            return
        named, rows = self._counted(selected(self._history.events, order), self._at)
        for versions, packer, names, of_entity in zip(self._values, self._packers, named, rows, strict=True):
            for name, value in zip(names, packer.pack(of_entity, np.arange(len(names))), strict=True):
                kept = versions.setdefault(name, [])
                while len(kept) > 1 and kept[1][0] <= oldest:
                    del kept[0]
                kept.append((self._at, value))

    def _counted(self, events: Events, node: int) -> tuple[list[list[str]], list[Ints]]:
        """The ids that these events touch, and their rows after them, from the state of a node on."""
        named, places, rows = [], [], []
        for entity, slots in enumerate(events.entities):
            names, local = distinct(slots, self._history.ids[entity])
            named.append(names)
            places.append(local)
            width = self._plan.entities[entity].layout.width
            rows.append(unpacked(self._packers[entity], self._packed(entity, names, node), names, width))
        compute(self._plan, localized(events, places), [Rows.alone(r) for r in rows], self._unit)
        return named, rows

    def values(self, entity: int, names: Sequence[str], count: Count, *, whole: bool = True) -> list[bytes | None]:
        """Cards, or this partition's parts of a shared entity, packed as they were at a count; None where there is nothing.

        Args:
            entity: its place among `ENTITIES`.
            names: ids, any.
            count: not beyond the last `go_to`.
            whole: also with the labels that are not in the node.
        """
        node = self._node[count]
        values = self._packed(entity, names, node)
        if whole and (missing := self.labels_missing(count)):
            named, counted = self._counted(selected(self._history.events, np.array(missing, dtype=np.int64)), node)
            packed = self._packers[entity].pack(counted[entity], np.arange(len(named[entity])))
            after = dict(zip(named[entity], packed, strict=True))
            values = [after.get(name, value) for name, value in zip(names, values, strict=True)]
        return values

    def _packed(self, entity: int, names: Sequence[str], node: int) -> list[bytes | None]:
        versions = self._values[entity]
        return [_at(versions[name], node) if name in versions else None for name in names]


def unpacked(packer: Packer, values: Sequence[bytes | None], names: Sequence[str], width: int) -> Ints:
    """Rows of these values, int64 [values, width]; zeros where there is none."""
    rows = np.zeros((len(values), width), dtype=np.int64)
    there = [place for place, value in enumerate(values) if value is not None]
    if there:
        packer.unpack([values[place] for place in there], [names[place] for place in there], rows, np.array(there, dtype=np.int64))
    return rows


def _at(versions: Sequence[tuple[int, bytes]], node: int) -> bytes | None:
    return next((value for at, value in reversed(versions) if at <= node), None)


def distinct(slots: Ints, ids: Sequence[str]) -> tuple[list[str], Ints]:
    """The distinct ids among these places, and the place of each event's among them; -1 where an event has none."""
    present = slots >= 0
    found, places = np.unique(slots[present], return_inverse=True)
    local = np.full(len(slots), -1, dtype=np.int64)
    local[present] = places
    return [ids[slot] for slot in found.tolist()], local


def localized(events: Events, places: Sequence[Ints]) -> Events:
    """The same events, their entities named by these places."""
    return replace(events, entities=tuple(places))
