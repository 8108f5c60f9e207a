"""`fraudstream answers`: what the API answered, beside what the stream decided of the same payments."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console

from stream_app.audit.answers import AnswerComparison, DifferentAnswer
from stream_app.commands.coroutines import result_of
from stream_app.commands.times import moment_ms
from stream_app.commands.topic_records import read_topic
from stream_app.errors import DataError, SettingsError
from stream_app.features.aggregations import DAY_MS
from stream_app.messages.alert import AnsweredPayment, Score
from stream_app.messages.headers import headers_of
from stream_app.messages.records import decoded
from stream_app.settings import Settings, load_settings


def answers_command(
    since: Annotated[
        str | None, typer.Option(help="Answers given from this time on: 2026-11-20T12:00:00 (UTC), or ms. Default: of the last day.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Up to, not including, this time.")] = None,
    show: Annotated[int, typer.Option(min=0, max=1_000, help="How many that differ are shown.")] = 10,
) -> None:
    """Compare answers of /v1/score with the decisions of the stream: agreed, different and why, not decided; the last line is JSON."""
    settings = load_settings()
    if not settings.answers_topic or not settings.scores_topic:
        name = "ANSWERS" if not settings.answers_topic else "SCORES"
        raise SettingsError(f"FRAUDSTREAM_{name}_TOPIC names no topic: there is nothing to compare. Set it for API, worker and here.")
    since_ms, until_ms = moment_ms(since, "--since"), moment_ms(until, "--until")
    since_ms = int(time.time() * 1000) - DAY_MS if since_ms is None else since_ms
    found = result_of(_compared(settings, since_ms, until_ms))
    if not found.answers:
        raise DataError(f"Topic {settings.answers_topic!r} has no answer in that time. Give another --since or --until.")
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for one in found.examples[:show]:
        console.print(_told(one), markup=False)
    print(json.dumps(summary(found)))


def summary(found: AnswerComparison) -> dict[str, Any]:
    """The last line."""
    return {
        "answers": found.answers,
        "agreed": found.agreed,
        "different": dict(sorted(found.different.items())),
        "unmatched": found.unmatched(),
        "unasked": found.unasked,
    }


async def _compared(settings: Settings, since_ms: int, until_ms: int | None) -> AnswerComparison:
    found = AnswerComparison(until_ms)
    answers, scores = msgspec.json.Decoder(AnsweredPayment), msgspec.json.Decoder(Score)
    async for records in read_topic(settings, settings.answers_topic, since_ms=since_ms):
        for record in records:
            if until_ms is not None and record.timestamp >= until_ms:
                continue
            if (answer := decoded(answers, record.value)) is not None:
                found.answer(answer, headers_of(record))
    async for records in read_topic(settings, settings.scores_topic, since_ms=since_ms):
        for record in records:
            if (score := decoded(scores, record.value)) is not None:
                found.score(score, headers_of(record))
    return found


def _told(one: DifferentAnswer) -> str:
    at = datetime.fromtimestamp(one.answered.at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    answered, decided = one.answered, one.decided
    return (
        f"{at}  card {one.payment.card_id}  {one.payment.transaction_id}: answered {answered.action or 'nothing'} ({answered.decided_by}), "
        f"decided {decided.action or 'nothing'} ({decided.decided_by}): {one.why}"
    )
