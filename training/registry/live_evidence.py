"""Evidence of live payments for a promotion: what `fraudstream compare --json` wrote, as gates beside those of the held-out period."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from stream_app.comparing.live_comparison import AT_ONE_BUDGET, AT_OWN_THRESHOLDS, LiveComparison, LiveFigure
from stream_app.errors import DataError
from training.registry.gates import Gate

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES = 1_000_000
GATED = ("money found", AT_OWN_THRESHOLDS, "average precision", AT_ONE_BUDGET)
"""Figures that the challenger must not surely have less of."""
_REMEDY = "Write it anew: fraudstream compare --json > FILE"


def read_live(path: Path, candidate: str, champion: str | None, currency: str) -> LiveComparison:
    """What a file says of these two versions.

    Args:
        path: of the file.
        candidate: number of the version to promote.
        champion: of the one that serves; None: there is none.
        currency: the workers' base currency.

    Raises:
        DataError: it cannot be read, or is of other versions or another currency.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        found = msgspec.json.decode(content[:MOST_BYTES], type=LiveComparison)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}. {_REMEDY}.") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{path} is no comparison: {error}. {_REMEDY}.") from None
    if (found.challenger.version, found.champion.version) != (candidate, champion):
        raise DataError(
            f"{path} compares version {found.challenger.version} with {found.champion.version}; here {candidate} would take the place of "
            f"{champion or 'none'}. {_REMEDY} --champion {champion or 'N'} --challenger {candidate}."
        )
    if found.currency != currency:
        raise DataError(f"{path} has money in {found.currency}, the workers' base currency is {currency}. {_REMEDY} with their settings.")
    return found


def live_gates(found: LiveComparison) -> tuple[Gate, ...]:
    """Whether there is enough evidence, then figure by figure: as on the held-out period, the challenger need only not be surely worse."""
    enough = Gate("live evidence", not found.lacks, "; ".join(found.lacks) or found.answer)
    return enough, *(_gate(figure) for figure in found.figures if figure.name in GATED)


def _gate(figure: LiveFigure) -> Gate:
    told = f"{figure.challenger:.4f}, the champion's is {figure.champion:.4f}; 95 % interval of the gain {figure.low:+.4f} to {figure.high:+.4f}"
    return Gate(f"live {figure.name}", figure.surely != "champion", told)
