"""A model as it decides: its columns, its threshold, its reasons. A champion decides; a challenger judges the same payments beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import xxhash
from msgspec import UNSET
from numpy.typing import NDArray

from stream_app.explaining.reasons import Reasons
from stream_app.explaining.sentences import Usual
from stream_app.features.compute import Vectors
from stream_app.features.definitions import Feature
from stream_app.features.plan import Ints
from stream_app.messages.alert import Beside, Reason
from stream_app.rules.rule import ReleasePolicy
from stream_app.scoring.decision import Policy, policy_of
from stream_app.scoring.observation import EventKind
from stream_app.scoring.ports import Model, Scores

type Chosen = NDArray[np.bool_]

_HASHES = 2**64
_NO_SCORES = Scores(np.empty(0, dtype=np.float32), np.empty(0, dtype=np.float32))


@dataclass(frozen=True, slots=True)
class Challenger:
    """A model that judges beside the champion, and decides for a share of the cards, 0 to 1."""

    model: Model
    share: float = 0.0


class BoundModel:
    """A model bound to a table of features: it picks its own columns."""

    def __init__(self, model: Model, columns: Sequence[Feature], threshold: float | None, released: ReleasePolicy | None = None) -> None:
        """Args: `columns` are those of the tables it will be given; `threshold` and `released` overrule the model's own, see `policy_of`."""
        features = model.metadata.resolved()
        self.model = model
        self.policy: Policy = policy_of(model.metadata, threshold, released)
        self.names = [f.name for f in features]
        places = [columns.index(feature) for feature in features]
        self._columns: slice | list[int] = slice(len(places)) if places == list(range(len(places))) else places
        self._reasons = Reasons(features, model.contributions, sampled=model.metadata.reference is not UNSET)

    def vectors(self, table: Vectors) -> Vectors:
        """The model's columns of a table, float32 [rows, features]."""
        return np.ascontiguousarray(table[:, self._columns])

    def scores(self, vectors: Vectors) -> Scores:
        """What the model says of each row."""
        return self.model.score(vectors) if len(vectors) else _NO_SCORES

    def alerts(self, scores: Scores) -> Chosen:
        """Which scores alert, bool [rows]."""
        return np.asarray(scores.probability.astype(np.float64) >= self.policy.threshold)

    def reasons(self, vectors: Vectors, usual: Sequence[Usual], currency: str) -> list[tuple[Reason, ...]]:
        """See `Reasons.of`."""
        return self._reasons.of(vectors, usual, currency)


@dataclass(frozen=True, slots=True)
class ChallengerScores:
    """What the challenger says of the payments of a round.

    Attributes:
        bound: the challenger.
        vectors: float32 [payments, its features].
        scores: of each payment.
        decides: bool [payments], where it decides in the champion's place.
    """

    bound: BoundModel
    vectors: Vectors
    scores: Scores
    decides: Chosen

    def over(self, champion: Scores) -> Scores:
        """The scores that decide: the champion's, and its own where it decides."""
        own = self.scores
        return Scores(np.where(self.decides, own.probability, champion.probability), np.where(self.decides, own.raw, champion.raw))

    def counts(self, of_champion: Chosen, run: slice) -> dict[EventKind, int]:
        """How often it agreed in a run of the payments, by what only one of the two would alert; `of_champion` are the champion's alerts."""
        own, champion = self.bound.alerts(self.scores)[run], of_champion[run]
        return {
            "challenger_scored": len(own),
            "challenger_decided": int(self.decides[run].sum()),
            "challenger_only": int((own & ~champion).sum()),
            "champion_only": int((champion & ~own).sum()),
        }


class ChallengerScorer:
    """The challenger beside the champion: has its say on every payment, and decides for a fixed share of the cards."""

    def __init__(
        self, challenger: Challenger, columns: Sequence[Feature], threshold: float | None, released: ReleasePolicy | None = None
    ) -> None:
        """Args: as `BoundModel`."""
        self._bound = BoundModel(challenger.model, columns, threshold, released)
        self._share = challenger.share

    def scores_of(self, table: Vectors, cards: Sequence[str], of: Ints) -> ChallengerScores:
        """What the challenger says.

        Args:
            table: float32 [payments, columns].
            cards: distinct ids.
            of: int64 [payments], the place of each payment's card among `cards`.
        """
        vectors = self._bound.vectors(table)
        decides = np.zeros(len(of), dtype=bool)
        if self._share:
            decides = np.array([is_challengers(card, self._share) for card in cards], dtype=bool)[of]
        return ChallengerScores(self._bound, vectors, self._bound.scores(vectors), decides)


def is_challengers(card_id: str, share: float) -> bool:
    """Whether a card is among the share that a challenger decides for: the same cards whatever the worker, the model and the time.

    A larger share has all cards of a smaller one.
    """
    return xxhash.xxh3_64_intdigest(card_id.encode()) < share * _HASHES


def beside(role: Literal["champion", "challenger"], model: BoundModel, score: float) -> Beside:
    """The say of a model that does not decide."""
    return Beside(role, model.model.reference, score, model.policy.threshold, model.policy.action(score))
