"""How many examples Hypothesis takes."""

from __future__ import annotations

from hypothesis import settings

_TIMES = settings.get_profile("repeatable").max_examples


def examples(count: int) -> settings:
    """So many, for any machine's test run; in proportion more where `HYPOTHESIS_PROFILE=thorough`."""
    return settings(max_examples=count * (settings().max_examples // _TIMES))
