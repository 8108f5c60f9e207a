"""Times as options of commands take them."""

from __future__ import annotations

import pytest
import typer

from stream_app.commands.times import moment_ms

T0 = 1_522_540_800_000


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        (None, None),
        ("2018-04-01", T0),
        ("20180401", T0),
        ("2018-04-01T00:00:10", T0 + 10_000),
        ("2018-04-01T02:00:10+02:00", T0 + 10_000),
        (str(T0), T0),
    ],
)
def test_times_of_options_are_utc(text: str | None, ms: int | None) -> None:
    """Dates, times, with an offset, or milliseconds."""
    assert moment_ms(text, "--start") == ms


def test_a_wrong_time_names_the_option() -> None:
    """And shows a right one."""
    with pytest.raises(typer.BadParameter, match="2018-07-01T12:00:00") as refused:
        moment_ms("yesterday", "--end")
    assert refused.value.param_hint == "--end"
