"""`fraudstream explain`: why a transaction got its score, from the decision that was published and the model that took it."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from stream_app.adapters.models.registry import ModelRegistry
from stream_app.commands.topic_records import read_topic
from stream_app.errors import DataError, SettingsError
from stream_app.explaining.explanation import Explanation, FeaturePart, explain
from stream_app.explaining.reasons import LEAST_SHARE
from stream_app.features.model_metadata import ModelMetadata
from stream_app.messages.alert import Score
from stream_app.messages.iso import in_currency
from stream_app.messages.records import decoded
from stream_app.settings import Settings, load_settings

MOST_CARDS = 20
"""Cards that are shown of one transaction_id; a producer may number each card's payments from 1."""
MOST_RAISING, MOST_LOWERING = 5, 3
"""Codes that a summary tells of."""
_WHOLE_TIMES, _ABOUT_USUAL, _LEAST_PERCENT = 9.95, 1.0, 0.001


def explain_command(
    transaction_id: Annotated[str, typer.Argument(help="The transaction, alerted or not.")],
    card: Annotated[
        str, typer.Option(help="The card that paid. Without it every decision is read: another card may have the same transaction_id.")
    ] = "",
    since: Annotated[str, typer.Option(help="Look only at decisions from this day on, YYYY-MM-DD (UTC). Default: all there are.")] = "",
    *,
    whole: Annotated[
        bool, typer.Option("--all", help="Every feature, with its exact Shapley value and its contribution as alerts have it.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as one JSON object.")] = False,
) -> None:
    """Explain a decision: what raised and what lowered its score, by exact Shapley values."""
    settings = load_settings()
    score = _only(asyncio.run(find(settings, transaction_id, card, _moment(since))))
    explanation = explain_published(settings, score)
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(explanation) + b"\n")
        return
    console = Console(highlight=False)
    for line in lines_of(explanation) if whole else summary_of(explanation):
        console.print(line, soft_wrap=True)


async def find(settings: Settings, transaction_id: str, card_id: str = "", since_ms: int = 0) -> list[Score]:
    """The decision of each card's transaction of this id, or of that card's alone; the first, where one was published twice.

    All partitions are read, to their ends where no card is named: the producer alone knows which partition a card's payments go to.
    After `MOST_CARDS` cards it stops.

    Raises:
        SettingsError: decisions are not published.
        DataError: it is not among them.
        Unavailable, TopologyError: Kafka does not answer, or there is no such topic.
    """
    if not settings.scores_topic:
        raise SettingsError(
            "FRAUDSTREAM_SCORES_TOPIC is empty: decisions are not published with their features, so none can be explained. "
            "Set it for the workers and here, e.g. transaction-scores."
        )
    wanted = msgspec.json.encode(transaction_id)  # decoding each of millions would take minutes
    found: dict[str, Score] = {}
    decoder = msgspec.json.Decoder(Score)
    async with aclosing(read_topic(settings, settings.scores_topic, since_ms=since_ms)) as read:
        async for records in read:
            for record in records:
                score = decoded(decoder, record.value) if wanted in (record.value or b"") else None
                if score and score.transaction_id == transaction_id and card_id in {"", score.card_id}:
                    found.setdefault(score.card_id, score)
            if len(found) >= (1 if card_id else MOST_CARDS):
                break
    if not found:
        of_card = f" of card {card_id!r}" if card_id else ""
        raise DataError(
            f"Transaction {transaction_id!r}{of_card} is not among the decisions in {settings.scores_topic!r}. Was it decided while that topic "
            "was set, and is it kept that long? An id is written as it was published."
        )
    return list(found.values())


def _only(scores: list[Score]) -> Score:
    """The one decision; where there are several, each is shown on stderr with its card.

    Raises:
        DataError: there are several.
    """
    if len(scores) == 1:
        return scores[0]
    for score in scores[:MOST_CARDS]:
        typer.echo(f"{_who(score)}  score {score.score:.5f}", err=True)
    many = len(scores) if len(scores) < MOST_CARDS else f"{MOST_CARDS} or more"
    raise DataError(f"Transaction {scores[0].transaction_id!r} is on {many} cards. Say whose: --card {scores[0].card_id}, for one.")


def explain_published(settings: Settings, score: Score) -> Explanation:
    """Fetch the model that decided, and explain.

    Raises:
        ModelError, Unavailable: it is not there, is damaged, or did not decide this.
    """
    from stream_app.adapters.models.onnx_model import OnnxModel  # noqa: PLC0415 - numba and onnxruntime: not before the decision is found

    registry = ModelRegistry(settings.mlflow_tracking_uri, settings.model_cache)
    fetched = registry.download(registry.numbered(score.model.name, score.model.version))
    model = OnnxModel(fetched.content, fetched.reference)
    return explain(score, model.metadata.resolved(), model.additive, model.metadata.base_currency, usual_score_of(model.metadata))


def usual_score_of(metadata: ModelMetadata) -> float | None:
    """The mean score of payments that the model was not fitted on, where it says so."""
    return metadata.baseline.usual_score if metadata.baseline else None


def summary_of(explanation: Explanation) -> list[str]:
    """For a person: whose payment, the decision, its risk, and what raised and lowered it most, each code once with its strongest sentence."""
    grouped: dict[str, list[FeaturePart]] = {}
    for part in explanation.parts:
        grouped.setdefault(part.code, []).append(part)
    weights = {code: sum(part.shapley for part in parts) for code, parts in grouped.items()}
    raised = sum(weight for weight in weights.values() if weight > 0)
    up = [code for code in sorted(weights, key=lambda code: -weights[code]) if weights[code] > 0]
    down = [code for code in sorted(weights, key=lambda code: weights[code]) if weights[code] < 0]
    lines = [f"[bold]{escape(_who(explanation))}[/]", _decision(explanation), _risk(explanation.score, explanation.usual_score)]
    told = [code for place, code in enumerate(up) if not place or weights[code] >= LEAST_SHARE * raised][:MOST_RAISING]
    lines += ["What raised it:", *[f"  {weights[code] / raised:4.0%}  {escape(grouped[code][0].text)}" for code in told]] if told else []
    lines += ["What lowered it:", *[f"        {escape(grouped[code][-1].text)}" for code in down[:MOST_LOWERING]]] if down else []
    return [*lines, f"[dim]Of {len(explanation.parts)} features; --all shows each with its numbers.[/]"]


def _risk(score: float, usual: float | None) -> str:
    """A risk of 1.3 % reads like none, unless beside what is usual."""
    if not usual:
        return f"risk {share_of(score)}"
    times = score / usual
    told = f"{times:,.0f} times" if times >= _WHOLE_TIMES else f"{times:.1f} times" if times >= _ABOUT_USUAL else "less than"
    return f"risk {share_of(score)}, {told} the usual {share_of(usual)}"


def share_of(share: float) -> str:
    """A share in percent with two digits that count: 100%, 87%, 1.3%, 0.033%; less than 0.001% as that."""
    percent = share * 100
    if 0 < percent < _LEAST_PERCENT:
        return f"less than {_LEAST_PERCENT:g}%"
    return f"{percent:.0f}%" if percent >= _WHOLE_TIMES else f"{percent:.2g}%"


def _decision(explanation: Explanation) -> str:
    said = "alerted" if explanation.alerted else "not alerted"
    decision = (
        f"{said}: score {explanation.score:.5f}, threshold {explanation.threshold:.5f}, "
        f"model {escape(explanation.model.name)} version {escape(explanation.model.version)}"
    )
    return decision + (f"  [magenta]degraded: {escape(explanation.degraded)}[/]" if explanation.degraded else "")


def lines_of(explanation: Explanation) -> list[str]:
    """Whose payment, the decision, what was expected, and a line for each feature: Shapley value, contribution along the path, what it says."""
    how = "sampled, as alerts have it" if explanation.sampled else "exact, as alerts have it"
    total = f"raw score {explanation.raw_score:+.4f} = {explanation.expected:+.4f} expected of any payment, and by feature ({how}):"
    return [
        f"[bold]{escape(_who(explanation))}[/]",
        _decision(explanation),
        total,
        *[f"  {part.shapley:+.4f}  [dim]{part.along_path:+.4f}[/]  {part.code:<18} {escape(part.text)}" for part in explanation.parts],
    ]


def _who(of: Score | Explanation) -> str:
    """The payment in a line, as it says itself."""
    when = datetime.fromtimestamp(of.event_time / 1000, UTC)
    return f"{of.transaction_id}  card {of.card_id}  terminal {of.terminal_id}  {in_currency(of.amount, of.currency, ',')} {of.currency}  {when:%Y-%m-%d %H:%M:%S} UTC"


def _moment(day: str) -> int:
    if not day:
        return 0
    try:
        return int(datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC).timestamp() * 1000)
    except ValueError:
        raise typer.BadParameter(f"{day!r} is not a date. Write it as 2026-01-31.", param_hint="--since") from None
