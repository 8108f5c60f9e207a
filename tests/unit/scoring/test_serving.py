"""Following an alias: a moved one is taken up whole, a bad version is refused and told, and the model before stays."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger

from stream_app.errors import ModelError, NoModel, Unavailable
from stream_app.messages.alert import ModelReference
from stream_app.scoring.ports import Model
from stream_app.scoring.registered import CHALLENGER, CHAMPION, FetchedModel, RegisteredVersion
from stream_app.scoring.serving import FollowedAlias, ModelSource, Serving
from tests.unit.scoring.test_scorer import FakeModel


class Versioned(FakeModel):
    """A model of a version."""

    def __init__(self, reference: ModelReference) -> None:
        self.reference = reference


@dataclass
class MemoryRegistry:
    """Aliases and files in memory; it may be away. Content that begins with "bad" cannot be loaded, "torn" is not what was registered."""

    aliases: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    kept: dict[str, FetchedModel] = field(default_factory=dict)
    away: bool = False
    downloads: int = 0

    def version_of(self, name: str, alias: str) -> RegisteredVersion:
        """See `registered.Registry`."""
        self._answer()
        if alias not in self.aliases:
            raise NoModel(f"no {alias}")
        version = self.aliases[alias]
        return RegisteredVersion(name, version, hashlib.sha256(self.files[version]).hexdigest(), "")

    def download(self, version: RegisteredVersion) -> FetchedModel:
        """See `registered.Registry`."""
        self._answer()
        self.downloads += 1
        content = self.files[version.version]
        if content.startswith(b"torn"):
            raise ModelError("is damaged")
        return FetchedModel(content, ModelReference(version.name, version.version), "registry")

    def copy(self, name: str, alias: str, away: Unavailable) -> FetchedModel:
        """See `registered.Registry`."""
        if alias not in self.kept:
            raise away
        kept = self.kept[alias]
        return FetchedModel(kept.content, ModelReference(name, kept.reference.version), "disk")

    def keep(self, alias: str, model: FetchedModel) -> None:
        """See `registered.Registry`."""
        self.kept[alias] = model

    def _answer(self) -> None:
        if self.away:
            raise Unavailable("MLflow is away")


@dataclass
class Told:
    """What operators would see: for each role the model in use and the version refused, and every refusal."""

    in_use: dict[str, str | None] = field(default_factory=dict)
    refused: dict[str, str | None] = field(default_factory=dict)
    refusals: list[str] = field(default_factory=list)

    def model_in_use(self, role: str, model: Model | None) -> None:
        """See `registered.ModelObserver`."""
        self.in_use[role] = model.reference.version if model else None

    def model_refused(self, role: str, refused: RegisteredVersion | None) -> None:
        """See `registered.ModelObserver`."""
        self.refused[role] = refused.version if refused else None
        if refused:
            self.refusals.append(refused.version)


def load(fetched: FetchedModel) -> Model:
    """A model of the file."""
    if fetched.content.startswith(b"bad"):
        raise ModelError("gives other scores here than at training")
    return Versioned(fetched.reference)


class Process:
    """What follows the two aliases; what is bound are the versions."""

    def __init__(self, registry: MemoryRegistry) -> None:
        self.registry, self.told = registry, Told()
        champion, challenger = (
            FollowedAlias(role, ModelSource(registry, "fraud", role, load, self.told)) for role in (CHAMPION, CHALLENGER)
        )
        self.serving = Serving(champion, challenger, lambda one, other: (one.reference.version, other.reference.version if other else None))

    def look(self) -> tuple[str, str | None] | None:
        """Look once; what is in use then."""
        try:
            self.serving.look()
        except (Unavailable, ModelError) as error:
            self.serving._tell(str(error))
        return None if self.serving.why_not_ready else self.serving.present()


@pytest.fixture
def registry() -> MemoryRegistry:
    """Version 1 is champion; 2 is as good, 3 bad, 4 torn."""
    return MemoryRegistry({CHAMPION: "1"}, {"1": b"one", "2": b"two", "3": b"bad", "4": b"torn"})


def test_a_moved_alias_is_taken_up_and_its_copy_kept(registry: MemoryRegistry) -> None:
    """Looked at twice: fetched once each. The copy is that of the model in use."""
    process = Process(registry)
    assert (process.look(), process.look(), registry.downloads) == (("1", None), ("1", None), 1)
    registry.aliases[CHAMPION] = "2"
    assert (process.look(), registry.downloads, registry.kept[CHAMPION].reference.version) == (("2", None), 2, "2")
    assert process.told.in_use == {CHAMPION: "2"}


@pytest.mark.parametrize("bad", ["3", "4"])
def test_a_bad_version_is_refused_once_and_the_one_before_stays(registry: MemoryRegistry, bad: str) -> None:
    """It is not fetched at each look, its copy is not kept; when the alias moves on, the refusal ends."""
    process = Process(registry)
    process.look()
    registry.aliases[CHAMPION] = bad
    assert [process.look() for _ in range(3)] == [("1", None)] * 3
    assert (process.told.refusals, process.told.refused[CHAMPION], registry.downloads) == ([bad], bad, 2)
    assert registry.kept[CHAMPION].reference.version == "1"
    registry.aliases[CHAMPION] = "1"
    assert process.look() == ("1", None)
    assert (process.told.refused[CHAMPION], registry.downloads) == (None, 2)


def test_a_refused_version_is_tried_again_after_a_while(registry: MemoryRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file may have been mended; it is told of once all the same."""
    process = Process(registry)
    process.look()
    registry.aliases[CHAMPION] = "3"
    process.look()
    monkeypatch.setattr("stream_app.scoring.serving.REFUSED_AGAIN_AFTER_S", 0)
    process.look()
    assert (registry.downloads, process.told.refusals) == (3, ["3"])


def test_a_start_on_a_bad_version_takes_the_copy_of_the_one_that_was_in_use(registry: MemoryRegistry) -> None:
    """A worker that restarts while the alias points to a bad version goes on scoring; without a copy it is not ready, and says why."""
    Process(registry).look()
    registry.aliases[CHAMPION] = "3"
    again = Process(registry)
    assert (again.look(), again.told.refusals) == (("1", None), ["3"])
    registry.kept.clear()
    empty = Process(registry)
    assert empty.look() is None
    assert "other scores" in (empty.serving.why_not_ready or "")
    with pytest.raises(Unavailable, match="other scores"):
        empty.serving.present()


def test_a_registry_that_is_away_changes_nothing_and_a_start_takes_the_copy(registry: MemoryRegistry) -> None:
    """Neither champion nor challenger end; a start without a copy waits."""
    process = Process(registry)
    registry.aliases[CHALLENGER] = "2"
    assert process.look() == ("1", "2")
    registry.away = True
    assert process.look() == ("1", "2")
    assert Process(registry).look() == ("1", None)
    registry.kept.clear()
    waiting = Process(registry)
    assert (waiting.look(), waiting.serving.why_not_ready) == (None, "MLflow is away")


def test_a_challenger_comes_and_goes_and_its_trouble_keeps_no_champion_out(registry: MemoryRegistry) -> None:
    """A bad challenger is refused beside a champion that moves; a removed alias ends it."""
    process = Process(registry)
    registry.aliases |= {CHALLENGER: "3", CHAMPION: "2"}
    assert (process.look(), process.told.refused[CHALLENGER]) == (("2", None), "3")
    registry.aliases[CHALLENGER] = "1"
    assert process.look() == ("2", "1")
    del registry.aliases[CHALLENGER]
    assert (process.look(), process.told.in_use[CHALLENGER]) == (("2", None), None)


def test_a_champion_whose_alias_is_removed_stays_and_it_is_told_once(registry: MemoryRegistry) -> None:
    """Scoring goes on; the log says why the model no longer follows."""
    process, told = Process(registry), list[str]()
    process.look()
    del registry.aliases[CHAMPION]
    handler = logger.add(told.append, format="{message}", level="WARNING")
    looks = [process.look() for _ in range(3)]
    logger.remove(handler)
    assert looks == [("1", None)] * 3
    assert told == ["The model in use stays: no champion\n"]


MOVES = st.lists(
    st.tuples(st.sampled_from([CHAMPION, CHALLENGER]), st.sampled_from(["1", "2", "3", "4", None]), st.booleans()), max_size=12
)


@given(MOVES)
def test_what_is_in_use_is_the_last_good_version_that_was_seen(moves: list[tuple[str, str | None, bool]]) -> None:
    """Any order of moved and removed aliases and absences; the oracle is three lines."""
    registry = MemoryRegistry({CHAMPION: "1"}, {"1": b"one", "2": b"two", "3": b"bad", "4": b"torn"})
    process = Process(registry)
    champion, challenger = process.look() or ("", None)
    for alias, version, registry.away in moves:
        registry.aliases = {a: v for a, v in (registry.aliases | {alias: version or ""}).items() if v}
        if not registry.away:
            seen = registry.aliases.get(CHAMPION), registry.aliases.get(CHALLENGER)
            champion = seen[0] if seen[0] in {"1", "2"} else champion
            challenger = None if seen[1] is None else seen[1] if seen[1] in {"1", "2"} else challenger
        assert process.look() == (champion, challenger)


def test_what_is_bound_is_made_anew_of_the_same_models_when_asked(registry: MemoryRegistry) -> None:
    """What else it is made of changed, as rules; before there is a model nothing is made, and nothing is missing."""
    asked: list[str] = []
    alias = FollowedAlias(CHAMPION, ModelSource(registry, "fraud", CHAMPION, load, Told()))

    def bind(champion: Model, _challenger: Model | None) -> int:
        asked.append(champion.reference.version)
        return len(asked)

    serving = Serving(alias, None, bind)
    serving.rebind()
    assert serving.why_not_ready is not None
    serving.look()
    serving.look()
    serving.rebind()
    assert (asked, serving.present()) == (["1", "1"], 2)
