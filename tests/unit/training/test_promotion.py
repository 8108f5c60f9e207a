"""Gates, each shut by what it is for; the held-out period; who may become champion."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from stream_app.errors import ModelError
from stream_app.features.aggregations import DAY_MS
from stream_app.features.definitions import HANDBOOK
from stream_app.features.model_metadata import Bands
from tests.examples import examples
from training.fitting.evaluate import Scored, card_precision, evaluate, scored
from training.fitting.export import OperatingPoint, describe, metadata_for, to_onnx_model
from training.fitting.fit import Recipe, fit, scores_of
from training.fitting.registration import Registration
from training.registry.catalogue import Version
from training.registry.gates import Gate, _Curve, not_worse, team_not_worse
from training.registry.held_out import About, HeldOut, unpacked
from training.registry.promotion import PromotionCase, Served, approved, check, examined, promote, roll_back
from training.registry.register import Registered, alias_of_new

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream_app.features.compute import Vectors
    from training.fitting.team import TeamFigures

ROWS, WIDTH = 3000, len(HANDBOOK)
NAMED = tuple((f.name, f.hash) for f in HANDBOOK)
ABOUT = About(
    features=NAMED,
    trained_until_ms=20 * DAY_MS,
    begins_ms=30 * DAY_MS,
    ends_ms=37 * DAY_MS,
    gap_days=7,
    newest_label_ms=43 * DAY_MS,
    read_at_ms=44 * DAY_MS,
)


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    """Of the held-out period, and as many to train on before."""
    return np.random.default_rng(2).normal(0, 1, (2 * ROWS, WIDTH)).astype(np.float32)


def truth(vectors: Vectors) -> Any:
    """One in ten, by two columns and chance."""
    risk = vectors[:, 0] + vectors[:, 1] + np.random.default_rng(3).normal(0, 0.7, len(vectors))
    return risk > np.quantile(risk, 0.9)


def version(number: str, vectors: Vectors, recipe: Recipe) -> Served:
    """A version of a model, fitted on the first half, with the second held out."""
    is_fraud = truth(vectors)
    model = fit(vectors[:ROWS], is_fraud[:ROWS], recipe)
    exported = to_onnx_model(model, WIDTH)
    metadata = metadata_for(model, HANDBOOK, vectors[:ROWS], OperatingPoint(0.3, Bands(step_up=0.5, decline=0.9), 0, "EUR"))
    describe(exported, metadata)
    times = ABOUT.begins_ms + np.arange(ROWS, dtype=np.int64) * (7 * DAY_MS // ROWS)
    scores = scored(scores_of(model, vectors[ROWS:]), is_fraud[ROWS:], times, np.arange(ROWS, dtype=np.int64) % 900, np.full(ROWS, 10.0))
    return Served(Version(number, "run", {}), exported.SerializeToString(), metadata, HeldOut(ABOUT, vectors[ROWS:], scores))


@pytest.fixture(scope="module")
def good(vectors: Vectors) -> Served:
    """A forest."""
    return version("2", vectors, Recipe(parameters={"n_estimators": 20, "max_depth": 8}))


@pytest.fixture(scope="module")
def poor(vectors: Vectors) -> Served:
    """A single stump."""
    return version("3", vectors, Recipe(parameters={"n_estimators": 1, "max_depth": 1}))


def about(of: Served, **changes: Any) -> Served:
    """The same with something else about its held-out period."""
    return replace(of, held_out=replace(of.held_out, about=msgspec.structs.replace(of.held_out.about, **changes)))


def failed(candidate: Served, champion: Served | ModelError | None = None, currency: str = "EUR") -> list[str]:
    """Names of the gates that do not hold."""
    return [gate.name for gate in examined(candidate, champion, currency).failed]


def test_a_version_as_good_as_the_champion_passes_every_gate(good: Served) -> None:
    """The same model under another number; without a champion nothing is compared."""
    case = examined(good, replace(good, version=Version("1", "run", {})), "EUR")
    assert [gate.name for gate in case.gates] == [
        "parity", "base currency", "labels mature", "same held-out period", "average precision", "card precision@100",
        "money detected", "net saving a day", "false-positive ratio by card", "alerts a day",
    ]  # fmt: skip
    assert case.failed == ()
    assert [gate.name for gate in examined(good, None, "EUR").gates] == [
        "parity", "base currency", "labels mature", "better than chance and the amount"
    ]  # fmt: skip
    assert case.forecast.alerts_a_day > 0


def test_a_worse_version_is_stopped_by_the_comparison_alone(good: Served, poor: Served) -> None:
    """Its average precision is below the champion's beyond the interval; the other way round the comparison holds."""
    assert "average precision" in failed(poor, good)
    assert {"parity", "base currency", "labels mature", "same held-out period"}.isdisjoint(failed(poor, good))
    assert failed(good, poor) == []
    gate = next(gate for gate in examined(poor, good, "EUR").gates if gate.name == "average precision")
    assert "the champion's is" in gate.found


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"read_at_ms": 40 * DAY_MS}, "read 3.0 days after"),
        ({"newest_label_ms": 36 * DAY_MS}, "1.0 days before the held-out period ended"),
        ({"gap_days": 30}, "frauds take 30"),
    ],
)
def test_labels_that_are_too_young_stop_a_version(good: Served, changes: dict[str, int], found: str) -> None:
    """Read before frauds could become known, or without a label made since."""
    case = examined(about(good, **changes), None, "EUR")
    assert [gate.name for gate in case.failed] == ["labels mature"]
    assert found in case.failed[0].found


def test_what_a_worker_would_refuse_stops_a_version(good: Served) -> None:
    """Other scores than scikit-learn gave on the held-out period; another base currency."""
    off = replace(good.held_out.truth, scores=good.held_out.truth.scores + 0.001)
    wrong = replace(good, held_out=replace(good.held_out, truth=off))
    assert failed(wrong) == ["parity"]
    assert failed(good, currency="USD") == ["base currency"]


def test_a_champion_that_saw_the_period_or_cannot_be_scored_on_it_stops_the_comparison(good: Served) -> None:
    """Fitted on its days; a feature that was not kept; a file that is not there."""
    assert failed(good, about(good, trained_until_ms=33 * DAY_MS)) == ["same held-out period"]
    other = msgspec.structs.replace(good.metadata, features=(("amount", "0" * 16), *NAMED[1:]))
    assert failed(good, replace(good, metadata=other)) == ["same held-out period"]
    assert failed(good, ModelError("gone")) == ["same held-out period"]


@examples(10)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3]))
def test_the_gates_compare_the_figures_that_are_reported(seed: int, noise: float) -> None:
    """What is found names the figures of `evaluate`; equal scores never fail, and a challenger that knows the truth never does."""
    rng = np.random.default_rng(seed)
    is_fraud, times = rng.random(400) < 0.2, np.sort(rng.integers(0, 3 * DAY_MS, 400))
    made = [
        scored(np.clip(is_fraud * 0.5 + rng.normal(0.25, level, 400), 0, 1), is_fraud, times, rng.integers(0, 60, 400), np.ones(400))
        for level in (0.01, noise + 0.1)
    ]
    sharp, blunt = made
    blunt = replace(blunt, cards=sharp.cards)
    for challenger, champion in ((sharp, blunt), (blunt, blunt)):
        precision, cards = not_worse(challenger, champion)
        assert (precision.passed, cards.passed) == (True, True)
        assert precision.found.startswith(f"{evaluate(challenger, 0.5).average_precision:.4f}, the champion's is ")
        assert cards.found.startswith(f"{card_precision(challenger):.4f}, the champion's is {card_precision(champion):.4f}")


def team(threshold: float, champions: float) -> list[str]:
    """Gates of the team's figures that the same scores fail at another threshold than the champion's.

    Seven days of 100 payments, 1 to 100 in score; the ten highest are frauds of 50 each, on ten cards.
    """
    rank = np.tile(np.arange(1, 101), 7)
    what = scored(rank / 100, rank > 90, np.repeat(np.arange(7), 100) * DAY_MS, rank, np.full(700, 50.0))
    return [gate.name for gate in team_not_worse((what, threshold), (what, champions)) if not gate.passed]


def test_the_teams_figures_are_gates() -> None:
    """A threshold too high finds less money; one too low bothers genuine cards, costs reviews, and makes more alerts than half again."""
    assert team(0.905, 0.905) == []
    assert team(0.955, 0.905) == ["money detected", "net saving a day"]
    assert team(0.875, 0.905) == ["net saving a day", "false-positive ratio by card"]
    assert team(0.705, 0.905) == ["net saving a day", "false-positive ratio by card", "alerts a day"]
    assert team(0.905, 0.705) == []
    assert team(0.905, 0.975) == []  # alerts treble, and pay


def test_a_version_that_alerts_no_fraud_is_compared_all_the_same() -> None:
    """Its ratio is infinite, and worse."""
    rank = np.tile(np.arange(1, 101), 7)
    what = scored(rank / 100, rank == 95, np.repeat(np.arange(7), 100) * DAY_MS, rank, np.full(700, 50.0))
    failed = {gate.name: gate.found for gate in team_not_worse((what, 0.995), (what, 0.945)) if not gate.passed}
    assert list(failed) == ["money detected", "net saving a day", "false-positive ratio by card"]
    assert failed["false-positive ratio by card"].startswith("inf, the champion's is 5.0000")


def test_a_draw_of_cards_is_the_average_precision_of_its_copies() -> None:
    """As scikit-learn has it with weights, ties and cards that were not drawn among them."""
    rng = np.random.default_rng(6)
    scores, is_fraud, weights = rng.random(300).round(1), rng.random(300) < 0.3, rng.integers(0, 4, 300)
    what = scored(scores, is_fraud, np.zeros(300, dtype=np.int64), np.arange(300), np.ones(300))
    expected = average_precision_score(is_fraud, scores, sample_weight=weights)
    assert _Curve.of(what).average_precision(weights) == pytest.approx(expected, abs=1e-12)


def test_the_held_out_period_comes_back_as_it_was_kept(good: Served) -> None:
    """Every array and what is said of them; what is none is refused in words."""
    kept = good.held_out
    back = unpacked(kept.packed())
    assert back.about == kept.about
    np.testing.assert_array_equal(back.vectors, kept.vectors)
    for name in Scored.__slots__:
        np.testing.assert_array_equal(getattr(back.truth, name), getattr(kept.truth, name))
    for broken in (b"", b"no archive", kept.packed()[:200]):
        with pytest.raises(ModelError, match="cannot be read"):
            unpacked(broken)


@dataclass
class Shelf:
    """`training.registry.catalogue.Catalogue` in memory: aliases and tags."""

    pointing: dict[str, str] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    name: str = "m"
    gone: frozenset[str] = frozenset()

    def aliases(self) -> dict[str, str]:
        """See `Catalogue`."""
        return dict(self.pointing)

    def version(self, number: str) -> Version:
        """See `Catalogue`."""
        return Version(number, "run", self.tags.get(number, {}))

    def file(self, wanted: Version) -> bytes:
        """See `Catalogue`."""
        if wanted.number in self.gone:
            raise ModelError("it is gone")
        return b""

    def tag(self, number: str, tags: Mapping[str, str]) -> None:
        """See `Catalogue`."""
        self.tags.setdefault(number, {}).update(tags)

    def alias(self, alias: str, number: str) -> None:
        """See `Catalogue`."""
        self.pointing[alias] = number

    def drop(self, alias: str) -> None:
        """See `Catalogue`."""
        del self.pointing[alias]

    def crown(self, alias: str, number: str, who: str, why: str) -> None:
        """See `Catalogue`."""
        self.tag(number, {"promoted_by": who, "promoted_why": why, "promoted_over": self.pointing.get(alias, "")})
        self.alias(alias, number)


def case(number: str, *gates: Gate) -> PromotionCase:
    """A version with these gates."""
    figures: TeamFigures = None  # type: ignore[assignment] # not looked at
    return PromotionCase(number, gates, figures)


WORSE, BROKEN = Gate("average precision", passed=False, found="0.1"), Gate("parity", passed=False, found="0.2", forceable=False)
FINE = Gate("parity", passed=True, found="0")


def test_a_promotion_moves_the_alias_only_if_the_gates_hold_or_are_forced() -> None:
    """Refused with what was found and the remedy; forced with who and why; never past what a worker would refuse."""
    shelf: Any = Shelf({"champion": "1", "challenger": "2"})
    with pytest.raises(
        ModelError, match=r"Version 2 of m was not promoted; champion stays where it is\. average precision: 0\.1\..*--force --why"
    ):
        promote(shelf, "champion", case("2", FINE, WORSE), "ada")
    with pytest.raises(ModelError, match=r"parity: 0\.2\..*cannot be forced"):
        promote(shelf, "champion", case("2", BROKEN, WORSE), "ada", "hurry")
    assert (shelf.pointing, shelf.tags) == ({"champion": "1", "challenger": "2"}, {})
    promote(shelf, "champion", case("2", FINE, WORSE), "ada", "an attack is on")
    assert shelf.pointing == {"champion": "2"}
    assert shelf.tags["2"] == {
        "promoted_by": "ada", "promoted_why": "forced past average precision: an attack is on", "promoted_over": "1",
    }  # fmt: skip
    promote(shelf, "champion", case("3", FINE), "bob")
    assert shelf.tags["3"]["promoted_why"] == "all gates passed"


def test_a_first_version_that_finds_nothing_is_stopped(good: Served) -> None:
    """Its scores say nothing of the held-out period's frauds; there is no champion to be compared with."""
    drawn = replace(good.held_out.truth, is_fraud=np.random.default_rng(5).permutation(good.held_out.truth.is_fraud))
    assert failed(replace(good, held_out=replace(good.held_out, truth=drawn))) == ["better than chance and the amount"]


@pytest.mark.parametrize(
    ("asked", "served", "report", "called"),
    [
        ({}, False, "", "champion"),
        ({}, True, "", "challenger"),
        ({}, False, "AUC 0.4", ""),
        ({}, True, "AUC 0.4", "challenger"),
        ({"alias": "champion"}, True, "AUC 0.4", ""),
        ({"alias": "shadow"}, False, "AUC 0.4", "shadow"),
        ({"forced": "a trial"}, False, "AUC 0.4", "champion"),
        ({"needs_approval": True}, False, "", "challenger"),
    ],
)
def test_a_version_that_finds_nothing_is_not_served(asked: dict[str, Any], served: bool, report: str, called: str) -> None:  # noqa: FBT001 - a case
    """By the alias that it gets; unless it is forced. Where two persons are needed, no version is served by its training."""
    where = Registration("http://mlflow", "m", **asked)
    assert alias_of_new(where, report, served=served) == called


def test_who_registers_a_version_that_is_not_served_is_told_why_and_what_to_do() -> None:
    """Its number stands in the command; one that has an alias has its line alone."""
    none = Registered("m", "7", "", "", "", "http://mlflow/#/models/m/versions/7")
    assert none.told().startswith(
        "registered: m version 7, without an alias, http://mlflow/#/models/m/versions/7\nIt finds no more frauds than"
    )
    assert 'fraudstream promote 7 --force --why "…"' in none.told()
    assert replace(none, alias="champion").told() == "registered: m version 7, alias champion, http://mlflow/#/models/m/versions/7"


def test_a_promotion_that_needs_two_persons_waits_for_the_second() -> None:
    """The first asks, whatever else is tagged; the same one is no second; another one may."""
    shelf: Any = Shelf({"challenger": "2"})
    assert not approved(shelf, case("2", FINE), "ada", "new features")
    assert shelf.tags["2"] | {"promotion_asked_at": ""} == {
        "promotion_asked_by": "ada", "promotion_asked_why": "new features", "promotion_asked_at": "",
    }  # fmt: skip
    with pytest.raises(ModelError, match="ada asked for the promotion of version 2 of m: another person must promote it"):
        approved(shelf, case("2", FINE), "ada", "")
    assert approved(shelf, case("2", FINE), "bob", "")
    assert shelf.pointing == {"challenger": "2"}


def test_an_approval_is_good_for_one_promotion() -> None:
    """After a rollback two persons are needed again; who asked the first time is on the record."""
    shelf: Any = Shelf({"champion": "1", "challenger": "2"})
    approved(shelf, case("2", FINE), "ada", "new features")
    promote(shelf, "champion", case("2", FINE), "bob")
    assert shelf.tags["2"]["promoted_asked_by"] == "ada"
    roll_back(shelf, "champion", "eve", "it was slow")
    assert not approved(shelf, case("2", FINE), "bob", "it is fast now")
    with pytest.raises(ModelError, match="bob asked for the promotion"):
        approved(shelf, case("2", FINE), "bob", "")


def test_a_dry_run_says_by_its_error_whether_a_version_would_be_promoted() -> None:
    """Nothing is moved, nothing tagged."""
    shelf: Any = Shelf({"champion": "1", "challenger": "2"})
    check(shelf, "champion", case("2", FINE))
    check(shelf, "champion", case("2", FINE, WORSE), "hurry")
    with pytest.raises(ModelError, match="was not promoted"):
        check(shelf, "champion", case("2", FINE, WORSE))
    assert (shelf.pointing, shelf.tags) == ({"champion": "1", "challenger": "2"}, {})


def test_a_rollback_goes_back_champion_by_champion() -> None:
    """3 → 2 → 1, then there is none before; not to one that cannot be served."""
    shelf: Any = Shelf({"champion": "1"})
    for number in ("2", "3"):
        promote(shelf, "champion", case(number, FINE), "ada")
    assert roll_back(shelf, "champion", "bob", "too many alerts") == ("3", "2")
    assert shelf.tags["3"]["rolled_back_by"] == "bob"
    assert shelf.tags["3"]["rolled_back_why"] == "too many alerts"
    shelf.gone = frozenset({"1"})
    with pytest.raises(ModelError, match="it is gone"):
        roll_back(shelf, "champion", "bob", "")
    assert shelf.pointing == {"champion": "2"}
    shelf.gone = frozenset()
    assert roll_back(shelf, "champion", "bob", "") == ("2", "1")
    with pytest.raises(ModelError, match="Version 1 of m is the first champion"):
        roll_back(shelf, "champion", "bob", "")
    with pytest.raises(ModelError, match="has no version with the alias other"):
        roll_back(shelf, "other", "bob", "")
