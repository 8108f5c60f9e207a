"""As many card numbers as a test wants."""

from __future__ import annotations

_PAIRS = ("00", "18", "26", "34", "42", "59", "67", "75", "83", "91")
"""Each adds ten to Luhn's sum, or nothing."""


def nth_card_number(n: int) -> str:
    """Another one of 14 digits for each number below a million."""
    return "42" + "".join(_PAIRS[int(digit)] for digit in f"{n:06}")
