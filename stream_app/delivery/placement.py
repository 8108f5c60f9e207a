"""Which partitioner the producers of a topic follow: told from where its newest keys stand.

Payments and labels must be put by one partitioner, whichever that is: a card's labels are looked for where its payments are. A key alone does
not tell whether it stands where it should; many keys do:

    newest keys of a topic                                   it
    nearly all stand where one that we know would put them   follows that one
    nearly all where one or another would, none nearly all   is mixed: it has clients of several
    fewer                                                    follows one of its own, of which nothing can be told here
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from stream_app.delivery.ports import Log
from stream_app.errors import TopologyError

type Partitioner = Callable[[bytes, int], int]
"""The partition of a key among so many."""

ENOUGH_KEYS = 20
"""Fewer distinct keys than this tell nothing."""
_NEARLY_ALL = 0.99
TELLING_KEYS = 64
"""Fewer distinct keys say nothing of a topic: among two partitions, three of four keys stand by chance where one of two partitioners puts them."""
REMEMBERED = 1024
"""So many of the keys that a worker looked at last are remembered of each topic."""
SAMPLE = 200
"""So many of the newest records of each partition show by which rule they were put there."""


def verified(sample: Sequence[tuple[bytes, int]], counts: Collection[int], chosen: str, known: Mapping[str, Partitioner]) -> bool:
    """Whether the sample shows that the chosen partitioner is the producers'; False where it cannot tell.

    Args:
        sample: distinct keys and the partitions that they were found in.
        counts: how many partitions there are, and were when the oldest of the sample was published.
        chosen: name of the partitioner.
        known: all that there are.

    Raises:
        TopologyError: if the sample shows another.
    """
    if len(sample) < ENOUGH_KEYS:
        return False
    at_home = {name: sum(_explained(key, place, counts, of) for key, place in sample) / len(sample) for name, of in known.items()}
    if at_home[chosen] < _NEARLY_ALL:
        fitting = [name for name, share in at_home.items() if share >= _NEARLY_ALL]
        remedy = (
            f"Give `--partitioner {fitting[0]}`, which fits."
            if fitting
            else f"None of {', '.join(known)} fits: have all producers use one of these, and wait until each card was seen where it belongs."
        )
        raise TopologyError(
            f"The partitioner is not {chosen}: of the {len(sample)} newest keys {1 - at_home[chosen]:.0%} stand in another partition. {remedy}"
        )
    return all(share < _NEARLY_ALL for name, share in at_home.items() if name != chosen)


@dataclass(frozen=True, slots=True)
class Followed:
    """Where the newest keys of a topic stand.

    Attributes:
        keys: how many distinct ones were looked at.
        at_home: by the name of each partitioner that is known, the share of keys that stand where it puts them.
        explained: the share that any of them explains.
    """

    keys: int
    at_home: Mapping[str, float]
    explained: float

    @staticmethod
    def of(homes: Iterable[Collection[str]], known: Collection[str]) -> Followed:
        """From the names of those partitioners, for each key, that put it where it stands."""
        found = list(homes)
        many = max(1, len(found))
        return Followed(len(found), {name: sum(name in at for at in found) / many for name in known}, sum(map(bool, found)) / many)

    @property
    def tells(self) -> bool:
        """Whether there are enough keys."""
        return self.keys >= TELLING_KEYS

    @property
    def partitioners(self) -> list[str]:
        """Those that it follows; more than one where they cannot be told apart, as in one partition."""
        return [name for name, share in self.at_home.items() if share >= _NEARLY_ALL] if self.tells else []

    @property
    def strays(self) -> float:
        """Where it is mixed, the share of keys that do not stand where most clients would put them; else 0."""
        mixed = self.tells and not self.partitioners and self.explained >= _NEARLY_ALL
        return 1 - max(self.at_home.values()) if mixed else 0.0


@dataclass(frozen=True, slots=True)
class CardHomes:
    """Where the cards of a topic belong today, as far as its newest records tell.

    Attributes:
        partitions: how many there are.
        newest: the newest distinct keys, each with the partition of its newest record.
        partitioner: the one that the topic follows; None where that cannot be told.
    """

    partitions: int
    newest: Mapping[bytes, int]
    partitioner: Partitioner | None

    @classmethod
    def told_by(cls, newest: Mapping[bytes, int], partitions: int, known: Mapping[str, Partitioner]) -> CardHomes:
        """From the newest keys of a topic."""
        followed = Followed.of(([n for n, of in known.items() if of(key, partitions) == at] for key, at in newest.items()), known)
        return cls(partitions, newest, known[followed.partitioners[0]] if followed.partitioners else None)

    def of(self, key: bytes, stood: int | None) -> int | None:
        """The partition of a key: where the partitioner puts it, else where its newest record is, else where it stood; None: nobody knows.

        Where it stood may be of a time before partitions were added: the card's payments, and its state, are elsewhere since.
        """
        if self.partitioner is not None:
            return self.partitioner(key, self.partitions)
        return self.newest.get(key, stood)


def labels_astray(payments: Followed, labels: Followed) -> float:
    """The share of labels' keys that do not stand where the partitioner of the payments puts them; 0 where that cannot be told."""
    if not (payments.tells and labels.tells) or payments.strays:
        return 0.0
    if payments.partitioners:
        agreeing = max(labels.at_home[name] for name in payments.partitioners)
        return 1 - agreeing if agreeing < _NEARLY_ALL else 0.0
    if labels.partitioners:
        return 1 - max(payments.at_home[name] for name in labels.partitioners)
    return labels.strays


class KeyWatch:
    """The keys of payments and labels that a worker looked at last, one of each micro-batch, and whether all stand by one partitioner."""

    def __init__(self, known: Mapping[str, Partitioner]) -> None:
        self._known = known
        self._payments: deque[tuple[bytes, frozenset[str]]] = deque(maxlen=REMEMBERED)
        self._labels: deque[tuple[bytes, frozenset[str]]] = deque(maxlen=REMEMBERED)
        self._homes = lru_cache(REMEMBERED)(self._homes_of)

    def saw(self, place: int, partitions: int, payment: bytes | None, label: bytes | None) -> None:
        """These keys stand in a partition, of so many; None: there is none."""
        for keys, key in ((self._payments, payment), (self._labels, label)):
            if key and partitions > 1:
                keys.append((key, self._homes(key, place, partitions)))

    def astray(self) -> tuple[float, float]:
        """The share of payments' keys, and of labels' keys, that another partitioner put where they stand."""
        payments, labels = (Followed.of(dict(keys).values(), self._known) for keys in (self._payments, self._labels))
        return payments.strays, labels_astray(payments, labels)

    def _homes_of(self, key: bytes, place: int, partitions: int) -> frozenset[str]:
        return frozenset(name for name, of in self._known.items() if of(key, partitions) == place)


async def newest_keys(log: Log, topic: str, partitions: Collection[int]) -> dict[bytes, int]:
    """The newest distinct keys of a topic, each with the partition of its newest record.

    Raises:
        Unavailable: if Kafka does not answer.
    """
    places = [(topic, number) for number in partitions]
    bounds = await log.bounds(places)
    newest = log.walk({p: max(bounds[p].begin, bounds[p].end - SAMPLE) for p in places})
    found = [(r.timestamp, r.key, place[1]) async for place, records in newest for r in records if r.key]
    return {key: place for _, key, place in sorted(found)}


def together(payments: Mapping[bytes, int], labels: Mapping[bytes, int], partitions: int, known: Mapping[str, Partitioner]) -> str:
    """What is said where payments and labels of one card stand in one partition, as far as their newest keys tell.

    Raises:
        TopologyError: if they do not, or payments of one topic do not follow one partitioner.
    """
    of_payments, of_labels = (
        Followed.of(([n for n, of in known.items() if of(key, partitions) == place] for key, place in keys.items()), known)
        for keys in (payments, labels)
    )
    both = payments.keys() & labels.keys()
    apart = sum(payments[key] != labels[key] for key in both)
    if of_payments.strays:
        raise TopologyError(
            f"{of_payments.strays:.0%} of the {len(payments)} newest keys of payments were put elsewhere than the others would be. {ONE_PARTITIONER}"
        )
    if astray := labels_astray(of_payments, of_labels):
        raise TopologyError(
            f"{astray:.0%} of the {len(labels)} newest keys of labels do not stand where payments of their cards are put. {ONE_PARTITIONER}"
        )
    if len(both) >= ENOUGH_KEYS and apart > (1 - _NEARLY_ALL) * len(both):
        raise TopologyError(
            f"{apart} of {len(both)} cards have their newest payment and their newest label in different partitions. {ONE_PARTITIONER}"
        )
    if partitions > 1 and of_payments.partitioners:
        labelled = "labels too" if of_labels.partitioners else f"{len(labels)} keys of labels are too few to tell"
        return f"payments stand where {of_payments.partitioners[0]} puts them; {labelled}"
    return f"{len(payments)} newest keys of payments and {len(labels)} of labels show nothing wrong"


ONE_PARTITIONER = (
    "Have all clients that write payments or labels take one partitioner: `partitioner=murmur2_random` for librdkafka and what is made of it "
    "(confluent-kafka, node-rdkafka, rdkafka-ruby), which the Java client, aiokafka and kafka-python take by themselves. When each card was seen "
    "where it belongs, `fraudstream repartition --to NEW_GROUP` brings its history there."
)


def _explained(key: bytes, place: int, counts: Collection[int], of: Partitioner) -> bool:
    return any(of(key, count) == place for count in counts)
