"""Adds two made-up signals of one's own to a history: `own_signals.py FILE.parquet OUT.parquet`, see docs/how-to/own-signals.md."""  # noqa: INP001 - no package

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

CHALLENGED_FRAUDS = 0.3
"""Share of the frauds that 3-D Secure challenges."""


def main(source: str, out: str) -> None:
    """Read, add a text and a number, write."""
    frame, rng = pd.read_parquet(source), np.random.default_rng(0)
    challenged = frame["is_fraud"].to_numpy(dtype=bool) & (rng.random(len(frame)) < CHALLENGED_FRAUDS)
    usual = rng.choice(["frictionless", "challenge", "attempt"], len(frame), p=[0.8, 0.15, 0.05])
    frame["attributes.threeds"] = np.where(challenged, "challenge", usual)
    frame["attributes.gateway_score"] = np.round(np.clip(rng.normal(0.2, 0.1, len(frame)) + 0.1 * challenged, 0, 1), 3)
    frame.to_parquet(out, index=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
