"""The vectors of decisions, computed again from what each says it had seen. This is the order that the worker processed in.

Within a partition that is the order of its log, labels where `source.labels` puts them. Between partitions there is no order: a
decision adds to its own part of a terminal the parts of the other partitions as they were when it was made, and says at which
positions. So the recomputation is exact for any number of workers, for doubles, and for what a killed worker left behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from stream_app.audit.decisions import ServedBatch
from stream_app.audit.history import Count, PartitionHistory, selected
from stream_app.audit.lineage import Lineage, distinct, localized, unpacked
from stream_app.features import kernel
from stream_app.features.compute import Rows, Vectors, compute
from stream_app.features.packing import Packer
from stream_app.features.plan import Ints, Plan


def recomputed(
    batches: Sequence[ServedBatch], histories: Sequence[PartitionHistory], before: Sequence[Ints], plan: Plan, unit: int
) -> Iterator[tuple[ServedBatch, Vectors]]:
    """Each batch with the vectors of its decisions, float32 [decisions, features of the plan].

    1. take batches in the order of their wall clocks, so that few states have to be kept;
    2. bring every partition to what the batch saw of it;
    3. count the batch's own payments and labels on a copy: what became of it is found in the positions of later batches.

    Args:
        batches: oldest first.
        histories: of each partition.
        before: for each payment of each history, how many labels were counted when its turn came, 0 where that is not known.
        plan: the features wanted.
        unit: minor units of a major unit.
    """
    counts: list[set[Count]] = [set() for _ in histories]
    for batch in batches:
        for partition, count in enumerate(batch.seen):
            counts[partition].add(count)
        counts[batch.partition].add(batch.start)
    lineages = [Lineage(h, c, b, unit) for h, c, b in zip(histories, counts, before, strict=True)]
    oldest = _oldest(batches, lineages)
    for batch, still in zip(batches, oldest, strict=True):
        for partition, (lineage, count) in enumerate(zip(lineages, batch.seen, strict=True)):
            lineage.go_to(count, int(still[partition]))
        lineages[batch.partition].go_to(batch.start, int(still[batch.partition]))
        yield batch, _vectors(batch, histories[batch.partition], lineages, plan, unit)


def _oldest(batches: Sequence[ServedBatch], lineages: Sequence[Lineage]) -> Ints:
    """For each batch and partition the first node that this batch or a later one asks for; int64 [batches, partitions]."""
    asked = np.array([[lineage.node(c) for lineage, c in zip(lineages, batch.seen, strict=True)] for batch in batches], dtype=np.int64)
    for row, batch in zip(asked, batches, strict=True):
        row[batch.partition] = min(row[batch.partition], lineages[batch.partition].node(batch.start))
    return np.minimum.accumulate(asked[::-1], axis=0)[::-1] if len(batches) else asked


def _vectors(batch: ServedBatch, history: PartitionHistory, lineages: Sequence[Lineage], plan: Plan, unit: int) -> Vectors:
    own = lineages[batch.partition]
    start = Count(batch.start.payments, own.labels_missing(batch.start).start)
    end = Count(batch.places[-1] + 1, batch.before[-1])
    known = np.full(end.payments - start.payments, batch.start.labels, dtype=np.int64)
    known[np.array(batch.places) - start.payments] = batch.before
    order = history.interleaved(start, end, known)
    events = selected(history.events, order)
    place_of = np.empty(len(history.events.kinds), dtype=np.int64)
    place_of[order] = np.arange(len(order))
    names, places = zip(*[distinct(slots, ids) for slots, ids in zip(events.entities, history.ids, strict=True)], strict=True)
    rows = [_rows(entity, wanted, batch, lineages, plan) for entity, wanted in enumerate(names)]
    vectors: Vectors = compute(plan, localized(events, places), rows, unit).vectors[place_of[len(history.labels) + np.array(batch.places)]]
    return vectors


def _rows(entity: int, names: list[str], batch: ServedBatch, lineages: Sequence[Lineage], plan: Plan) -> Rows:
    """Own rows as the batch found them; of shared entities also the sum over all partitions."""
    layout = plan.entities[entity].layout
    packer = Packer(layout)
    own = unpacked(packer, lineages[batch.partition].values(entity, names, batch.start, whole=False), names, layout.width)
    if entity == 0:
        return Rows.alone(own)
    parts: list[bytes] = []
    chosen: list[int] = []
    for partition, (lineage, seen) in enumerate(zip(lineages, batch.seen, strict=True)):
        if partition != batch.partition:
            found = [(n, value) for n, value in enumerate(lineage.values(entity, names, seen)) if value is not None]
            chosen += [n for n, _ in found]
            parts += [value for _, value in found]
    total, here = own.copy(), np.arange(len(names))
    others = unpacked(packer, parts, [names[n] for n in chosen], layout.width)
    kernel.absorb_all(layout.table, total, np.array(chosen, dtype=np.int64), others)
    return Rows(own, total, here, here)
