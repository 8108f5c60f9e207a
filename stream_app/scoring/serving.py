"""The model in use: it follows its alias in the registry while the process runs. Knows no MLflow, no ONNX, no Kafka."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from loguru import logger

from stream_app.errors import ModelError, NoModel, Unavailable
from stream_app.scoring.ports import Model
from stream_app.scoring.registered import CHAMPION, FetchedModel, ModelObserver, RegisteredVersion, Registry

LOOK_EVERY_S = 3.0
"""A moved alias is seen within 10 s, fetching and checking included."""
REFUSED_AGAIN_AFTER_S = 60.0
"""A refused version is tried again after this long: its file may have been mended meanwhile."""


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a model comes from, and what becomes of it.

    Attributes:
        registry: asked in a thread.
        name, alias: of the model.
        load: the model, checked and warmed up; ModelError where it cannot be used.
        observer: told of every change.
    """

    registry: Registry
    name: str
    alias: str
    load: Callable[[FetchedModel], Model]
    observer: ModelObserver


class FollowedAlias:
    """The model behind one alias. `look` blocks: it is called in a thread, by one caller at a time.

    Where the alias moved:

    1. fetch the version that it points to now, and compare its SHA-256;
    2. load it, compare the hash of its features, reproduce its parity vectors, warm it up;
    3. only then is it `model`, and its copy kept on this machine.

    A version that fails is refused: told once, in log and metrics; the model before stays. At a start there is none before: then the
    copy of the one that was last in use serves.
    """

    def __init__(self, role: str, source: ModelSource) -> None:
        """Args: `role` is CHAMPION or CHALLENGER: the first there must be, the second there may be."""
        self.role = role
        self.model: Model | None = None
        self._source = source
        self._in_use = ("", "")
        self._refused: RegisteredVersion | None = None
        self._refused_at = 0.0

    def look(self) -> None:
        """Look where the alias points; `model` is another afterwards where it moved.

        Raises:
            Unavailable: if the registry does not answer; for a champion at a start, only where there is no copy either.
            ModelError: of a champion: there is none at a start that can be used, or its alias points to nothing.
        """
        source = self._source
        try:
            version = source.registry.version_of(source.name, source.alias)
        except NoModel as error:
            self._gone(error)
            return
        except Unavailable as away:
            self._from_copy(away)
            return
        if (version.version, version.sha256) == self._in_use:
            self._refuse(None)
            return
        if version == self._refused and time.monotonic() < self._refused_at + REFUSED_AGAIN_AFTER_S:
            return
        try:
            fetched = source.registry.download(version)
            model = source.load(fetched)
        except ModelError as error:
            self._not_this(version, error)
            return
        self._use(model, fetched, version.sha256)
        source.registry.keep(source.alias, fetched)

    def _gone(self, error: NoModel) -> None:
        """The alias points to nothing. A challenger ends; a champion stays."""
        if self.role == CHAMPION:
            raise error
        self._refuse(None)
        if self.model is None:
            return
        logger.info("The challenger {} version {} ended: the alias points to nothing.", self._source.name, self.model.reference.version)
        self.model, self._in_use = None, ("", "")
        self._source.observer.model_in_use(self.role, None)

    def _from_copy(self, away: Unavailable) -> None:
        if self.model is not None or self.role != CHAMPION:
            raise away
        source = self._source
        fetched = source.registry.copy(source.name, source.alias, away)
        self._use(source.load(fetched), fetched, hashlib.sha256(fetched.content).hexdigest())

    def _not_this(self, version: RegisteredVersion, error: ModelError) -> None:
        """Refuse a version. Without one in use, a champion's copy serves; where there is none, that is the error."""
        first = version != self._refused
        self._refuse(version)
        stays = f"version {self._in_use[0]} stays in use" if self.model else "there is none in use"
        if first:
            logger.error("The {} {} version {} is refused; {}. {}", self.role, version.name, version.version, stays, error)
        if self.model is not None or self.role != CHAMPION:
            return
        try:
            self._from_copy(Unavailable(str(error)))
        except Unavailable:
            raise error from None

    def _refuse(self, version: RegisteredVersion | None) -> None:
        self._refused_at = time.monotonic()
        if version != self._refused:
            self._refused = version
            self._source.observer.model_refused(self.role, version)

    def _use(self, model: Model, fetched: FetchedModel, sha256: str) -> None:
        before, self._in_use = self._in_use[0], (fetched.reference.version, sha256)
        self.model = model
        if fetched.origin == "registry":
            self._refuse(None)
        self._source.observer.model_in_use(self.role, model)
        logger.info(
            "The {} is {} version {} from {}, {} features, threshold {:.4f}{}",
            self.role,
            fetched.reference.name,
            fetched.reference.version,
            fetched.origin,
            len(model.metadata.features),
            model.metadata.threshold,
            f"; before, it was version {before}" if before else "",
        )


class Serving[T]:
    """What is bound to the models in use: a worker's scorer. Swapped whole, by one assignment: who asks for each batch sees no half."""

    def __init__(self, champion: FollowedAlias, challenger: FollowedAlias | None, bind: Callable[[Model, Model | None], T]) -> None:
        self._champion = champion
        self._challenger = challenger
        self._bind = bind
        self._present: T | None = None
        self._bound: tuple[Model | None, Model | None] = (None, None)
        self._why_not = "No model is loaded yet."
        self._said = ""
        self._binding = threading.Lock()

    @property
    def why_not_ready(self) -> str | None:
        """Why there is no model, or None."""
        return None if self._present is not None else self._why_not

    def present(self) -> T:
        """What is bound to the models in use now.

        Raises:
            Unavailable: if there is none yet.
        """
        if self._present is None:
            raise Unavailable(self._why_not)
        return self._present

    async def run(self) -> None:
        """Follow the aliases until cancelled. What a registry or a model does wrong is told, and ends nothing."""
        while True:
            try:
                await asyncio.to_thread(self.look)
            except (Unavailable, ModelError) as error:
                self._tell(str(error))
            else:
                self._said = ""
            await asyncio.sleep(LOOK_EVERY_S)

    def look(self) -> None:
        """Look at both aliases once, and bind anew where one moved; the trouble of one never keeps the other out.

        Raises:
            Unavailable, ModelError: as `FollowedAlias.look`.
        """
        trouble: list[Unavailable | ModelError] = []
        for alias in filter(None, (self._champion, self._challenger)):
            try:
                alias.look()
            except (Unavailable, ModelError) as error:
                trouble.append(error)
        models = self._champion.model, self._challenger.model if self._challenger else None
        with self._binding:
            if self._bound != models:
                self._bind_to(models)
        if trouble:
            raise trouble[0]

    def rebind(self) -> None:
        """Bind anew to the same models: what else `bind` looks at changed. Blocks, as `look`, and may be called beside it."""
        with self._binding:
            self._bind_to(self._bound)

    def _bind_to(self, models: tuple[Model | None, Model | None]) -> None:
        champion, challenger = models
        if champion is not None:
            self._present = self._bind(champion, challenger)
            self._bound = models

    def _tell(self, text: str) -> None:
        if text == self._said:
            return
        self._said = text
        if self._present is None:
            self._why_not = text
            logger.warning("Not ready: {}", text)
        else:
            logger.warning("The model in use stays: {}", text)
