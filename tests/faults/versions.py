"""Workers of other versions beside those of this one: of a later one, which is made here, and of real earlier ones, out of this repository's history.

The later one has another packed format, another list of features and another kernel version, see `later_entry`: what it writes, this one cannot read.
Earlier ones are the programs of their commits, with the points of then, on the packages that are installed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

from stream_app.features import definitions
from stream_app.features.aggregations import Quantity
from stream_app.features.entities import Entity
from stream_app.settings import PREFIX
from tests.faults import model

LATER = "later"
OTHER_FORMATS = "be02a78"
"""A commit whose cursors know neither a last record nor a layout, and whose notes say less."""
_OF_SHARED = frozenset({Quantity.CARDS_OF_HOUR, Quantity.CARDS_OF_DAY})
KEPT_SINCE: Mapping[Entity, frozenset[Quantity]] = MappingProxyType({
    "card": frozenset({
        Quantity.FRAUD, Quantity.LARGEST, Quantity.LAST_COUNTRY, Quantity.AMOUNTS, Quantity.CATEGORIES, Quantity.HOURS,
    }),
    "terminal": _OF_SHARED,
    "device": _OF_SHARED,
})  # fmt: skip
"""What rows keep that came after it. It drops their tiles where it writes a row: only versions that know of a later list of features leave it alone."""
LEAVES_ALONE = "d0618ab"
"""A commit that leaves a later version's state alone, and knows of its cursor's layout nothing."""
_SINCE = {"RULES_TOPIC", "LISTS_TOPIC"}
ROOT = Path(__file__).resolve().parents[2]


def entry(version: str) -> str:
    """The module that a worker of this version runs."""
    return "tests.faults.later_entry" if version == LATER else "tests.faults.worker_entry"


def environment(version: str, home: Path) -> dict[str, str]:
    """What a worker of this version finds in its environment beside the settings of all."""
    if version == LATER:
        return {"PYTHONPATH": str(ROOT), f"{PREFIX}MODEL_CACHE": str(home / "models-later"), "FAULTS_CONTROL": ""}
    return {"PYTHONPATH": str(ROOT)} if not version else {"PYTHONPATH": str(home / version), "FAULTS_CONTROL": ""}


def settings(version: str, of_lane: Mapping[str, str]) -> dict[str, str]:
    """Those of a lane that a worker of this version knows: the commits read no rules, and refuse settings that they do not know."""
    earlier = version not in {"", LATER}
    return {name: value for name, value in of_lane.items() if not (earlier and name.removeprefix(PREFIX) in _SINCE)}


def place_later_model(home: Path) -> None:
    """The model, as the later version trained it: of its kernel."""
    now = definitions.KERNEL_VERSION
    definitions.KERNEL_VERSION = now + 1
    try:
        model.place(home / "models-later")
    finally:
        definitions.KERNEL_VERSION = now


@cache
def why_not(commit: str) -> str:
    """Why a worker of this commit cannot be had here; empty where it can."""
    told = _git("cat-file", "-e", f"{commit}^{{commit}}")
    return "" if told is not None else f"this checkout's history has no commit {commit}: `git fetch --unshallow`"


def place_earlier(commit: str, home: Path) -> None:
    """The program of a commit, compiled, in a folder of its name.

    Raises:
        RuntimeError: if what is run there is not what stands there, or does not compile.
    """
    folder = home / commit
    folder.mkdir()
    packed = _git("archive", "--format=tar", commit)
    if packed is None:
        raise RuntimeError(why_not(commit))
    subprocess.run(["tar", "-x", "-C", str(folder)], input=packed, check=True)
    ask = "import stream_app; print(stream_app.__file__); from stream_app.features.warm import warm; warm()"
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    ran = subprocess.run([sys.executable, "-c", ask], cwd=home, env=environment, capture_output=True, text=True, check=False)
    if ran.returncode or not Path(ran.stdout.strip()).is_relative_to(folder):
        raise RuntimeError(f"commit {commit} does not run with the packages of this one: {ran.stdout}{ran.stderr[-500:]}")


def _git(*arguments: str) -> bytes | None:
    """What git says of this repository; None where it does not know."""
    ran = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)
    return None if ran.returncode else ran.stdout
