"""Are the windows of a version full in the state that workers have? A window that state keeps since yesterday says little for a month."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from stream_app.errors import FraudstreamError
from stream_app.features.kept_tiles import full_from_ms, needs_of_window
from training.registry.gates import Gate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stream_app.features.definitions import Feature
    from stream_app.features.kept_tiles import KeptTiles

NAME = "windows full"
NAMED = 5
"""So many features are told; of the others, how many they are."""


def windows_full(
    candidate: Sequence[Feature], champion: Sequence[Feature], state: Callable[[], Sequence[KeptTiles | None]], now_ms: int
) -> Gate:
    """Whether every window is full that the candidate needs and the champion does not. What both lack is no reason to keep the champion.

    Args:
        candidate: features of the version to promote.
        champion: of the one that serves; none where there is none.
        state: what each partition keeps, and since when: asked only where it matters.
        now_ms: Unix ms.
    """
    known = {need for feature in champion for need in needs_of_window(feature)}
    asked = [feature for feature in candidate if needs_of_window(feature) - known]
    if not asked:
        return Gate(NAME, passed=True, found="it needs no window that the champion does not need")
    try:
        partitions = state()
    except FraudstreamError as error:
        return Gate(
            NAME,
            passed=False,
            found=f"{len(asked)} features have windows that the champion does not need, and state cannot be asked: {error}",
        )
    if not partitions:
        return Gate(NAME, passed=True, found="no worker has written state yet: it begins with all windows")
    silent = [str(number) for number, kept in enumerate(partitions) if kept is None]
    if silent:
        told = f"the state of partition {', '.join(silent)} does not say what it keeps: no worker of this version has taken it over yet"
        return Gate(NAME, passed=False, found=told)
    return _of_kept(asked, [kept for kept in partitions if kept is not None], now_ms)


def _of_kept(asked: Sequence[Feature], partitions: Sequence[KeptTiles], now_ms: int) -> Gate:
    from_ms = {feature: [full_from_ms(feature, kept) for kept in partitions] for feature in asked}
    missing = [feature.name for feature, of in from_ms.items() if None in of]
    latest = {feature: max(at or 0 for at in of) for feature, of in from_ms.items() if None not in of}
    young = sorted((f for f, at in latest.items() if at > now_ms), key=lambda f: -latest[f])
    if not missing and not young:
        return Gate(NAME, passed=True, found=f"all {len(asked)} that the champion does not need are full")
    told = []
    if missing:
        told.append(
            f"state keeps no tiles for {_listed(missing)}: start workers of this version first, with their entities in FRAUDSTREAM_ENTITIES"
        )
    if young:
        windows = _listed([f"{f.name} ({f.window}) at {_minute(latest[f])}" for f in young])
        told.append(f"full will be {windows}; all at {_minute(latest[young[0]])}")
    return Gate(NAME, passed=False, found="; ".join(told))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _minute(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(-(-at_ms // 60_000) * 60, UTC):%Y-%m-%d %H:%M} UTC"
