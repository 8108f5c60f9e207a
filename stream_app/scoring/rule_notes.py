"""Which hits of rules are noted, so that labels judge them later (`outcomes`): all of what is alerted, and of the rest a bounded share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from stream_app.messages.alert import RuleHit, RuleMode
from stream_app.rules.machine import Truths
from stream_app.rules.rule import CheckedRule
from stream_app.scoring.outcomes import MOST_RULES_NOTED

NOTED_SHARE = 0.05
"""Of all payments at most so many have a note for the sake of a rule alone: every rule of a release has an equal part of that."""
NOTED_AT_ONCE = 1_000
"""So many may come at once, all rules together."""


class HitCodes(NamedTuple):
    """The codes of the rules that hit a payment, by mode."""

    live: tuple[str, ...] = ()
    shadow: tuple[str, ...] = ()

    @classmethod
    def of(cls, hits: Iterable[tuple[str, RuleMode]]) -> HitCodes:
        """Of rules in the order of their release: those in force first, up to `MOST_RULES_NOTED`."""
        first = sorted(hits, key=lambda hit: hit[1] != "live")[:MOST_RULES_NOTED]
        return cls(*(tuple(code for code, mode in first if mode == of) for of in ("live", "shadow")))

    @classmethod
    def told(cls, hits: Sequence[RuleHit]) -> HitCodes:
        """As a message tells them."""
        return cls.of((hit.code, hit.mode) for hit in hits)


class NotedHits:
    """What is noted of the hits of a release. One that hits far too much fills nobody's memory: what goes beyond is left out, and counted."""

    def __init__(self, rules: Sequence[CheckedRule]) -> None:
        self._rules = [(one.rule.code, one.rule.mode) for one in rules]
        count = max(1, len(rules))
        self._each, self._most = NOTED_SHARE / count, max(1.0, NOTED_AT_ONCE / count)
        self._left = np.full(len(rules), self._most)

    def of(self, hits: Truths, alerted: Truths) -> tuple[dict[int, HitCodes], int]:
        """The codes to note of payments that any rule hit, by place; and how many hits are left out.

        Args:
            hits: bool [rules, payments].
            alerted: bool [payments]; these are noted anyway.
        """
        self._left = np.minimum(self._most, self._left + self._each * hits.shape[1])
        rules = np.flatnonzero(hits.any(axis=1))
        if not len(rules):
            return {}, 0
        found = hits[rules]
        alone = found & ~alerted
        kept = alone & (np.cumsum(alone, axis=1) <= self._left[rules, None])
        self._left[rules] -= kept.sum(axis=1)
        kept |= found & alerted
        codes = {
            place: HitCodes.of(self._rules[n] for n in rules[kept[:, place]].tolist())
            for place in np.flatnonzero(kept.any(axis=0)).tolist()
        }
        return codes, int(found.sum()) - sum(len(one.live) + len(one.shadow) for one in codes.values())
