"""Who decides: lists, rules or the model. One order of power, one function.

1. A list of power `final_block`: the payment is declined, and nothing overrides that.
2. `allow`: nothing is done, whatever else says so.
3. `block`: the payment is declined.
4. Rules: a live one that suppresses takes away what rules and model would do; else the worst action of the live ones that hit.
5. The model, where no rule acts.

What suppresses is a rule, and so it never hides a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stream_app.messages.alert import Action, Decider
from stream_app.rules.machine import Truths

type Actions = NDArray[np.int8]

ACTIONS: tuple[Action | None, ...] = (None, "review", "step_up", "decline")
"""An action's number is its place: the larger one is the worse."""
Power = Literal["final_block", "allow", "block", "ask"]
"""What a list does by itself; of `ask`, nothing: rules ask it."""


class DecidedBy(IntEnum):
    """Whose word an action, or none, is."""

    MODEL = 0
    RULE = 1
    SUPPRESSION = 2
    BLOCK = 3
    ALLOW = 4
    FINAL_BLOCK = 5


DECIDERS: tuple[Decider, ...] = ("model", "rule", "suppression", "block", "allow", "final_block")
"""What messages call them, by the number in `DecidedBy`."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What each has to say of the payments of a micro-batch.

    Attributes:
        final_block, allow, block: bool [payments], whether a list of that power holds something of the payment.
        suppress: bool [payments], whether a live rule suppresses.
        rule: int8 [payments], the worst action of the live rules that hit, by its place in `ACTIONS`.
        model: the same of the model, by the release's own thresholds where it has some.
    """

    final_block: Truths
    allow: Truths
    block: Truths
    suppress: Truths
    rule: Actions
    model: Actions


def decide(claims: Claims) -> tuple[Actions, Actions]:
    """The action of each payment by its place in `ACTIONS`, and who decided, as `DecidedBy`; int8 [payments] each."""
    acts = claims.rule > 0
    action = np.where(claims.suppress, 0, np.where(acts, claims.rule, claims.model))
    by = np.where(claims.suppress, DecidedBy.SUPPRESSION, np.where(acts, DecidedBy.RULE, DecidedBy.MODEL))
    decline = len(ACTIONS) - 1
    for holds, does, who in (
        (claims.block, decline, DecidedBy.BLOCK),
        (claims.allow, 0, DecidedBy.ALLOW),
        (claims.final_block, decline, DecidedBy.FINAL_BLOCK),
    ):
        action, by = np.where(holds, does, action), np.where(holds, who, by)
    return action.astype(np.int8), by.astype(np.int8)


def places_of(actions: Sequence[Action | None]) -> Actions:
    """Actions by their places in `ACTIONS`, int8."""
    return np.array([ACTIONS.index(action) for action in actions], dtype=np.int8)
