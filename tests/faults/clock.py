"""A wrong clock for the process that imports this first: what time it is, not how much of it passes."""

from __future__ import annotations

import os
import time

_AHEAD_S = float(os.environ.get("FAULTS_CLOCK_S") or 0)

if _AHEAD_S:
    _time, _time_ns, _ahead_ns = time.time, time.time_ns, int(_AHEAD_S * 1e9)
    vars(time).update(time=lambda: _time() + _AHEAD_S, time_ns=lambda: _time_ns() + _ahead_ns)
