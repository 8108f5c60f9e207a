"""What operators see of the work: what a worker tells of each micro-batch, and to whom. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from stream_app.features.compute import Vectors
from stream_app.features.model_metadata import ModelMetadata
from stream_app.features.plan import Ints
from stream_app.messages.alert import Decider, RuleMode
from stream_app.scoring.outcomes import LabelOutcomes

EVERY_RULE = "*"
"""In the place of a rule's code, where asking failed as a whole: the model decides then."""


@dataclass(frozen=True, slots=True)
class RuleCounts:
    """How often rules hit, and who decided.

    Attributes:
        hits: by code and mode.
        money: of the payments that were hit, in major units of the base currency.
        decided: by who decided.
    """

    hits: Mapping[tuple[str, RuleMode], int] = field(default_factory=dict)
    money: Mapping[tuple[str, RuleMode], float] = field(default_factory=dict)
    decided: Mapping[Decider, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReleaseInForce:
    """A release as operators are told of it.

    Attributes:
        name: its hash.
        modes: of its rules, by code.
        expected: the share of payments that a rule is expected to hit, by code, of those whose author said so.
    """

    name: str
    modes: Mapping[str, RuleMode] = field(default_factory=dict)
    expected: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ListFill:
    """How much a list holds.

    Attributes:
        entries: that hold now.
        ending: those of them that end within a day.
    """

    entries: int
    ending: int


@dataclass(frozen=True, slots=True)
class Decisions:
    """The decisions of a micro-batch, as arrays of one length.

    Attributes:
        metadata: of the model that decided.
        vectors: float32 [decisions, features of the model].
        scores: float32, probability of fraud.
        times_ms: event time.
        arrived_ms: Kafka timestamp.
        minor: amount in minor units of the base currency, -1 where there is no rate.
        alerted: int64 [alerts], which of the decisions are alerts.
        of_challenger: float32, what the challenger says of each; None where there is none.
        rules: how often rules hit; None where there are neither rules nor lists.
    """

    metadata: ModelMetadata
    vectors: Vectors
    scores: Vectors
    times_ms: Ints
    arrived_ms: Ints
    minor: Ints
    alerted: Ints
    of_challenger: Vectors | None = None
    rules: RuleCounts | None = None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in one partition.

    Attributes:
        partition: its number.
        transactions, labels: records of either topic that are not decided yet.
        age_s: how long ago the oldest of these transactions came to Kafka, seconds; 0 where none waits.
    """

    partition: int
    transactions: int
    labels: int
    age_s: float


EventKind = Literal[
    "scored",
    "alerts",
    "labels",
    "labels_incomplete",
    "duplicates",
    "late",
    "unpriced",
    "credits",
    "degraded",
    "rebuilt",
    "swept",
    "challenger_scored",
    "challenger_decided",
    "challenger_only",
    "champion_only",
    "hits_unjudged",
]
"""Kinds of events that are counted, a metric each."""


class Observer(Protocol):
    """Told of the work. Calls are cheap: once a micro-batch, never once a record."""

    def stage(self, name: str, seconds: float) -> None:
        """One stage of one micro-batch took so long: decode, read, features, score, publish, write."""
        ...

    def batch(self, records: int) -> None:
        """A micro-batch of so many records is done."""
        ...

    def counted(self, what: EventKind, count: int) -> None:
        """So many events of a kind."""
        ...

    def decided(self, decisions: Decisions, published_s: float, written_s: float) -> None:
        """A micro-batch was decided: Unix time, s, at which its outputs were acknowledged and at which its state was written."""
        ...

    def label_outcomes(self, outcomes: LabelOutcomes) -> None:
        """So much did the labels of a micro-batch add and take back."""
        ...

    def refused(self, code: str) -> None:
        """One record went to the dead letters."""
        ...

    def rebuild_begun(self) -> None:
        """The state of a partition was lost, and is rebuilt from the topics."""
        ...

    def rebuilding(self, partition: int, records_left: int) -> None:
        """The state of a partition is being rebuilt; so many records are still to be read again."""
        ...

    def waiting(self, backlog: Backlog) -> None:
        """So much waits in a partition that this worker holds."""
        ...


LostAnswer = Literal["full", "too_large", "refused", "stopped"]
"""Why an answer was not published: too many waited; its topic takes none so large, or none at all; the process ended."""


class AnswersObserver(Protocol):
    """Told what became of the answers that are published beside being given."""

    def answers_published(self, count: int) -> None:
        """So many are in their topic."""
        ...

    def answers_lost(self, why: LostAnswer, count: int) -> None:
        """So many will never be."""
        ...


RuleTopicKind = Literal["rules", "lists"]
"""What a topic holds that this process decides by."""


class RulesObserver(Protocol):
    """Told of the rules and lists that this process decides by."""

    def release_in_force(self, release: ReleaseInForce | None) -> None:
        """A release; None: there is none."""
        ...

    def release_refused(self) -> None:
        """One could not be used; the one before stays."""
        ...

    def rules_read(self, kind: RuleTopicKind, offset: int, at_ms: int | None) -> None:
        """Their topic is read up to here; the Kafka timestamp of the last record, where one came just now."""
        ...

    def rules_asked(self, kind: RuleTopicKind, answered_s: float) -> None:
        """When the broker of their topic answered last, Unix time: whether or not a record came."""
        ...

    def lists_hold(self, fills: Mapping[str, ListFill]) -> None:
        """So much is on each list now."""
        ...

    def record_refused(self, kind: RuleTopicKind) -> None:
        """A record of their topic was not taken."""
        ...

    def rule_failed(self, code: str) -> None:
        """A rule could not be run in a round; `EVERY_RULE`: none could be asked."""
        ...
