"""What the API answered of payments, beside what the stream decided of them: where they differ, and why. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from stream_app.errors import DataError
from stream_app.messages.alert import AnsweredPayment, Decider, Score
from stream_app.messages.headers import Headers
from stream_app.messages.transaction import PaymentKey
from stream_app.scoring.provenance import RulesRead, rules_read

MOST_ANSWERS = 500_000
"""Of one comparison: each is kept in a few hundred bytes until its score is met."""
MOST_SHOWN = 1_000

_CANONICAL = msgspec.json.Encoder(order="deterministic")


class Said(NamedTuple):
    """A decision in little: who took it, by what, and the action.

    Attributes:
        features: a hash of the vector, and of what rules asked for beside it.
        at_ms: when it was taken, Unix time.
    """

    action: str | None
    decided_by: Decider
    model: tuple[str, str, float]
    rules: RulesRead | None
    features: int
    degraded: bool
    at_ms: int

    @classmethod
    def of(cls, decision: AnsweredPayment | Score, headers: Headers) -> Said:
        """Of an answer, or of a score."""
        model = (decision.model.name, decision.model.version, decision.threshold)
        features, degraded = hash(_CANONICAL.encode(decision.features)), decision.degraded is not None
        return cls(decision.action, decision.decided_by, model, rules_read(headers), features, degraded, decision.scored_at)


class DifferentAnswer(NamedTuple):
    """A payment of which the stream decided otherwise than was answered."""

    payment: PaymentKey
    answered: Said
    decided: Said
    why: str


def why_different(answered: Said, decided: Said) -> str:
    """The first cause that both decisions show.

    1. `model`: another one, or another threshold;
    2. `rules`: rules or lists were read to another offset, and another word decided or the vector is the same: nothing else is there;
    3. `history`: the vector differs: payments or labels were counted between the two;
    4. `degraded`: one of them rested on less than it should;
    5. `unexplained`: none of these.
    """
    if answered.model != decided.model:
        return "model"
    if answered.rules != decided.rules and (answered.decided_by != decided.decided_by or answered.features == decided.features):
        return "rules"
    if answered.features != decided.features:
        return "history"
    return "degraded" if answered.degraded or decided.degraded else "unexplained"


@dataclass(slots=True)
class AnswerComparison:
    """Answers, then scores.

    Attributes:
        until_ms: decisions taken from then on are met by answers of before, and are not counted else; None: all are.
        answers: taken.
        agreed: those whose action the stream took too.
        different: the others, by why.
        unasked: decisions of the stream on payments that no answer is of.
        examples: the first ones that differ.
    """

    until_ms: int | None = None
    answers: int = 0
    agreed: int = 0
    different: Counter[str] = field(default_factory=Counter)
    unasked: int = 0
    examples: list[DifferentAnswer] = field(default_factory=list)
    _waiting: dict[PaymentKey, list[Said]] = field(default_factory=dict)
    _newest_ms: int = 0

    def answer(self, answer: AnsweredPayment, headers: Headers) -> None:
        """Take an answer; of a payment that was asked about twice, each is compared. One that stands twice counts once.

        Raises:
            DataError: there are more than are compared at once.
        """
        said, before = Said.of(answer, headers), self._waiting.setdefault(PaymentKey.of(answer), [])
        if said in before:
            return
        before.append(said)
        self.answers += 1
        if self.answers > MOST_ANSWERS:
            raise DataError(f"There are more than {MOST_ANSWERS:,} answers in that time. Narrow it: --since and --until.")

    def score(self, score: Score, headers: Headers) -> None:
        """Take a decision of the stream, after all answers."""
        key = PaymentKey.of(score)
        self._newest_ms = max(self._newest_ms, score.scored_at)
        waiting = self._waiting.pop(key, None)
        if waiting is None:
            self.unasked += self.until_ms is None or score.scored_at < self.until_ms
            return
        decided = Said.of(score, headers)
        for answered in waiting:
            if answered.action == decided.action:
                self.agreed += 1
                continue
            why = why_different(answered, decided)
            self.different[why] += 1
            if len(self.examples) < MOST_SHOWN:
                self.examples.append(DifferentAnswer(key, answered, decided, why))

    def unmatched(self) -> dict[str, int]:
        """Answers that no decision of the stream is of: those given before its newest decision were not published as payments, or not decided; of the
        others that may still come.
        """
        found = Counter("not decided" if said.at_ms <= self._newest_ms else "not decided yet" for said in self._left())
        return dict(found)

    def _left(self) -> Iterator[Said]:
        for waiting in self._waiting.values():
            yield from waiting
