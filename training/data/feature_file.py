"""A list of features in a file of one's own, in place of a profile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from stream_app.errors import SettingsError
from stream_app.features.kept import named_features
from stream_app.features.profiles import PASSTHROUGH, features_of

if TYPE_CHECKING:
    from pathlib import Path

    from stream_app.features.definitions import Feature

LARGEST_FILE = 256 * 1024
"""Bytes."""
MOST_FEATURES = 1_000

_Names = Annotated[tuple[str, ...], Meta(max_length=MOST_FEATURES)]


class _List(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A profile to begin with, what is left out of it, what comes after it."""

    profile: str = ""
    without: _Names = ()
    features: _Names = ()


def read_features(path: Path) -> tuple[Feature, ...]:
    """The features that a file lists, in order.

        profile: velocity            # may be left out: then `features` are all
        without: [weekend, night]
        features: [terminal_days_since_fraud_30d_delay_7d, attributes.threeds]

    Args:
        path: YAML.

    Raises:
        SettingsError: it cannot be read, is no such list, or a name in it cannot be used; with the name and the remedy.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise SettingsError(
            f"The list of features {path} cannot be read ({error.strerror}). Give a YAML file with `features: [amount, …]`."
        ) from None
    if len(content) > LARGEST_FILE:
        raise SettingsError(f"The list of features {path} is larger than {LARGEST_FILE // 1024} kB. Name up to {MOST_FEATURES} features.")
    try:
        listed = msgspec.yaml.decode(content, type=_List)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path} is no list of features: {error}. It holds `profile`, `without` and `features`; see docs/features.md."
        ) from None
    names = [feature.name for feature in features_of(listed.profile)] if listed.profile and listed.profile != PASSTHROUGH else []
    if absent := [name for name in listed.without if name not in names]:
        raise SettingsError(
            f"{path} leaves out {absent[0]!r}, which its profile {listed.profile or 'none'!r} does not have. Correct the name."
        )
    return named_features([*(name for name in names if name not in listed.without), *listed.features])
