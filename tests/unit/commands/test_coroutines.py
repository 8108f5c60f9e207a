"""Commands that read much from Kafka."""

from __future__ import annotations

from stream_app.commands.coroutines import result_of


class Many:
    """So many records that nobody wants them in words; `asked`: how often somebody did."""

    asked = 0

    def __repr__(self) -> str:
        type(self).asked += 1
        return "many"


def test_what_a_coroutine_returns_is_not_put_into_words() -> None:
    """`asyncio.run` of Python 3.12.1 does that to every result: minutes for the decisions of a long replay."""
    many = Many()

    async def read() -> Many:
        return many

    assert result_of(read()) is many
    assert Many.asked == 0
