"""`fraudstream compare`: champion against challenger, from the topics of scores and labels."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from stream_app.commands.coroutines import result_of
from stream_app.commands.topic_records import read_topic
from stream_app.errors import DataError, SettingsError
from stream_app.messages.alert import Score
from stream_app.messages.records import decoded
from stream_app.messages.transaction import Label, PaymentKey
from stream_app.scoring.comparison import BothScores, Comparison, Quality, both_scores, compare
from stream_app.settings import Settings, load_settings


def compare_command(show: Annotated[int, typer.Option(min=0, help="How many alerts of each that only one would raise.")] = 10) -> None:
    """Agreement, alerts that only one would raise by amount, and how good each is on payments whose labels are in."""
    settings = load_settings()
    if not settings.scores_topic:
        raise SettingsError("FRAUDSTREAM_SCORES_TOPIC names no topic: there is nothing to compare. Example: transaction-scores")
    scores = result_of(_all(settings, settings.scores_topic, Score))
    both = {PaymentKey.of(s): j for s in scores if (j := both_scores(s)) is not None}
    if not both:
        raise DataError("No score has a challenger beside it. Point the alias FRAUDSTREAM_CHALLENGER_ALIAS to a version, and wait.")
    labels: dict[PaymentKey, Label] = {}
    for label in result_of(_all(settings, settings.labels_topic, Label)):
        key = PaymentKey.of(label)
        before = labels.get(key)
        if before is None or label.labelled_at >= before.labelled_at:
            labels[key] = label
    for line in described(compare(list(both.values()), {key: label.is_fraud for key, label in labels.items()}), show):
        print(line)


def described(found: Comparison, show: int) -> list[str]:
    """The comparison in lines."""
    lines = [f"{found.payments} payments that both judged; they agree on {found.agreement:.2%}"]
    for who, alerts in (("champion", found.only_champion), ("challenger", found.only_challenger)):
        lines.append(f"only the {who} would alert {len(alerts)}, of {sum(a.amount for a in alerts):,.2f} in all")
        lines += [_alert(alert) for alert in alerts[:show]]
    lines.append(f"{found.mature} payments older than 7 days than the newest, {found.frauds} of them fraud")
    lines += [_quality("champion", found.champion), _quality("challenger", found.challenger)]
    return lines


def _alert(alert: BothScores) -> str:
    says = f"champion {alert.champion[0]:.1%}  challenger {alert.challenger[0]:.1%}"
    return f"  {alert.amount:>12,.2f}  {says}  card {alert.card_id}  {alert.transaction_id}"


def _quality(who: str, quality: Quality) -> str:
    return f"  {who:<10} average precision {quality.average_precision:.3f}  card precision@100 {quality.card_precision:.3f}"


async def _all[T](settings: Settings, topic: str, kind: type[T]) -> list[T]:
    """Every message of a topic as it is now; foreign ones are left out.

    Raises:
        TopologyError, Unavailable, UnpackError: as `read_topic`.
    """
    decoder = msgspec.json.Decoder(kind)
    return [m async for records in read_topic(settings, topic) for record in records if (m := decoded(decoder, record.value)) is not None]
