"""An estimator of one's own: `module:factory`, a function without arguments that gives a classifier of scikit-learn, not fitted.

What cannot be used is told in one line before minutes are spent: it is fitted on a small sample, exported, explained and compared first.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from threading import Thread
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.pipeline import Pipeline

from stream_app.errors import FraudstreamError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from stream_app.features.compute import Vectors

LONGEST_S = 60.0
"""What importing a module, its factory, and a fit on the sample may take, each."""
SAMPLE, SAMPLE_FRAUDS = 1_000, 200


def made(named: str, longest_s: float = LONGEST_S) -> Any:
    """What the factory gives.

    Args:
        named: `module:factory`; the module is looked for in the present folder too.
        longest_s: that it may take.

    Raises:
        SettingsError: there is none, it raises, takes too long, or gives no classifier; one line.
    """
    module, colon, factory = named.partition(":")
    if not (module and colon and factory):
        raise SettingsError(f"Estimator {named!r}: write it as MODULE:FACTORY, a function without arguments that gives a classifier.")

    def call() -> Any:
        if str(Path.cwd()) not in sys.path:
            sys.path.insert(0, str(Path.cwd()))
        return getattr(import_module(module), factory)()

    found = _within(longest_s, named, "", call)
    if isinstance(found, type) or not (isinstance(found, BaseEstimator) and is_classifier(found) and hasattr(found, "predict_proba")):
        raise SettingsError(
            f"Estimator {named!r} gives {_called(found)}: it must give a classifier of scikit-learn, with `predict_proba`, that is not fitted."
        )
    return found


def try_out(
    named: str, vectors: Vectors, is_fraud: NDArray[np.bool_], run: Callable[[Any, Vectors], object], longest_s: float = LONGEST_S
) -> None:
    """Fit a sample and take it the whole way.

    Args:
        named: as of `made`.
        vectors: float32 [transactions, features], of the train window.
        is_fraud: what was known of each.
        run: exports and compares a fitted model on these vectors.
        longest_s: that it may take.

    Raises:
        SettingsError: it cannot be fitted, exported, explained or compared; one line with why.
    """
    rows = np.concatenate([_spread(np.flatnonzero(is_fraud), SAMPLE_FRAUDS), _spread(np.flatnonzero(~is_fraud), SAMPLE - SAMPLE_FRAUDS)])
    rows = np.sort(rows)
    sample, truth, model = np.ascontiguousarray(vectors[rows]), is_fraud[rows].astype(np.int64), clone(made(named, longest_s))
    _within(
        longest_s,
        named,
        f", on a sample of {len(sample)} payments,",
        lambda: run(model.fit(sample, truth), sample),
    )


def _spread(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.int64))]


def _within(seconds: float, named: str, on: str, call: Callable[[], Any]) -> Any:
    """What a call of foreign code gives; it runs in a thread that does not hold the process up."""
    what, given = f"Estimator {named!r}{on}", list[Any]()
    raised: list[BaseException] = []

    def run() -> None:
        try:
            given.append(call())
        except BaseException as error:  # noqa: BLE001 - foreign code: also what ends a process
            raised.append(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if raised:
        raise SettingsError(f"{what} cannot be used: {_why(raised[0], named.partition(':')[0])}. Nothing was fitted.") from None
    if not given:
        raise SettingsError(f"{what} took longer than {seconds:g} s. Nothing was fitted: build no data and train nothing in the factory.")
    return given[0]


def _why(error: BaseException, module: str) -> str:
    said = " ".join(str(error).split())[:300].rstrip(".")
    if isinstance(error, FraudstreamError):
        return said
    lines = [line for frame, line in walk_tb(error.__traceback__) if frame.f_globals.get("__name__") == module]
    where = f" (line {lines[-1]} of {module})" if lines else ""
    return f"{type(error).__name__}{': ' if said else ''}{said}{where}"


def _called(found: Any) -> str:
    if found is None:
        return "nothing (does it `return` it?)"
    if isinstance(found, type):
        return f"the class {found.__name__}"
    if isinstance(found, Pipeline):
        return f"a pipeline of {', '.join(type(step).__name__ for _, step in found.steps)}"
    name = type(found).__name__
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"
