"""What following a model needs from the outside: a registry, a copy on this machine, somebody to tell. Adapters implement these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from stream_app.errors import Unavailable
from stream_app.messages.alert import ModelReference
from stream_app.scoring.ports import Model

CHAMPION, CHALLENGER = "champion", "challenger"
"""Roles of a model: the first decides, the second scores beside it."""


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """A version that an alias points to, and what it must be: SHA-256 of the file, hash of its features ("" where it was not tagged)."""

    name: str
    version: str
    sha256: str
    features_hash: str


@dataclass(frozen=True, slots=True)
class FetchedModel:
    """The bytes of a registered model and where they came from: `registry` or `disk`; `features_hash` as the registry has it, or ""."""

    content: bytes
    reference: ModelReference
    origin: str
    features_hash: str = ""


class Registry(Protocol):
    """Where models are registered. Every method blocks: it is called in a thread."""

    def version_of(self, name: str, alias: str) -> RegisteredVersion:
        """What an alias points to.

        Raises:
            NoModel: if there is no such model or alias.
            ModelError: if the version was not registered by our training.
            Unavailable: if the registry does not answer, or what answers is none.
        """
        ...

    def download(self, version: RegisteredVersion) -> FetchedModel:
        """The file of a version.

        Raises:
            ModelError: if it is not the one that was registered.
            Unavailable: as `version_of`.
        """
        ...

    def copy(self, name: str, alias: str, away: Unavailable) -> FetchedModel:
        """The copy on this machine of the model that was last in use under the alias.

        Args:
            name: of the model.
            alias: that pointed to it.
            away: why it is asked for; told again where there is none.

        Raises:
            ModelError: if the copy is damaged.
            Unavailable: if there is none.
        """
        ...

    def keep(self, alias: str, model: FetchedModel) -> None:
        """Keep a copy of the model that is in use under the alias, or log why there is none: scoring goes on with it."""
        ...


class ModelObserver(Protocol):
    """What operators see of the models."""

    def model_in_use(self, role: str, model: Model | None) -> None:
        """A model is in use from now on as `champion` or `challenger`; None: no challenger any more."""
        ...

    def model_refused(self, role: str, refused: RegisteredVersion | None) -> None:
        """The alias points to a version that cannot be used, the one before stays; None: it does no longer."""
        ...
