"""Workers of a later version beside those of this one: what they write, this one cannot read.

They have another packed format, another list of features and another kernel version; see `later_entry`.
"""

from __future__ import annotations

from pathlib import Path

from stream_app.features import definitions
from stream_app.settings import PREFIX
from tests.faults import model

LATER = "later"


def entry(version: str) -> str:
    """The module that a worker of this version runs."""
    return "tests.faults.later_entry" if version == LATER else "tests.faults.worker_entry"


def environment(version: str, home: Path) -> dict[str, str]:
    """What a worker of this version finds in its environment beside the settings of all."""
    return {f"{PREFIX}MODEL_CACHE": str(home / "models-later"), "FAULTS_CONTROL": ""} if version == LATER else {}


def place_later_model(home: Path) -> None:
    """The model, as the later version trained it: of its kernel."""
    now = definitions.KERNEL_VERSION
    definitions.KERNEL_VERSION = now + 1
    try:
        model.place(home / "models-later")
    finally:
        definitions.KERNEL_VERSION = now
