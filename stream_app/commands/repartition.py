"""The command `repartition`: another number of partitions, with every card's history."""

from __future__ import annotations

import asyncio
from functools import cache, partial
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from stream_app.adapters.kafka.consumer_groups import member_counts
from stream_app.adapters.kafka.log import KafkaLog
from stream_app.adapters.kafka.log_spans import KafkaLogSpans
from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.kafka.partitioners import PARTITIONERS
from stream_app.adapters.kafka.topics import partition_counts
from stream_app.adapters.kafka.topology import unequal
from stream_app.adapters.redis.store import RedisStore
from stream_app.bootstrap import SystemClock, present_of, topics_of
from stream_app.bootstrap_inputs import inputs_of, intake_rules
from stream_app.delivery.held_partitions import one_count
from stream_app.delivery.placement import verified
from stream_app.delivery.repartition import Repartition, RepartitionDependencies, Repartitioned
from stream_app.errors import SettingsError, TopologyError
from stream_app.features.entities import kept_of
from stream_app.messages.money import Money, read_rates
from stream_app.settings import Settings, load_settings

_SHOWN = Console(highlight=False, soft_wrap=True)


def repartition_command(
    to: Annotated[str, typer.Option(metavar="NEW_GROUP", help="Consumer group whose state is made; it must be new.")],
    partitioner: Annotated[str, typer.Option(help=f"How producers place a key: {', '.join(PARTITIONERS)}.")] = "murmur2",
) -> None:
    """Make the state of a new consumer group after partitions were added: each card's history goes where its payments come now. Offline."""
    settings = load_settings()
    _check_arguments(settings, to, partitioner)
    done = asyncio.run(repartition(settings, load_settings(consumer_group=to), partitioner))
    _SHOWN.print(f"{done.counted:,} payments and labels counted for {to!r}.")
    if done.strays:
        _SHOWN.print(
            f"{done.strays:,} that were not decided yet stand where their card was before: the workers decide them there, with its history."
        )
    _SHOWN.print(f"Set FRAUDSTREAM_CONSUMER_GROUP={to} and start the workers.")


def _check_arguments(settings: Settings, to: str, partitioner: str) -> None:
    if to == settings.consumer_group:
        raise SettingsError(f"--to {to} is FRAUDSTREAM_CONSUMER_GROUP itself. Give a new name, as --to {to}-2.")
    if partitioner not in PARTITIONERS:
        raise SettingsError(f"--partitioner {partitioner} is unknown. Choose from {', '.join(PARTITIONERS)}.")


async def repartition(settings: Settings, new: Settings, partitioner: str = "murmur2") -> Repartitioned:
    """Make the state of `new`'s consumer group from the topics, and from where `settings`' group stands.

    Raises:
        TopologyError: if it cannot be done, and why.
        ClockBehind: if this machine's clock would leave out what workers with another will decide.
        Unavailable: if Kafka or Redis does not answer.
    """
    options, rules, clock = client_options(settings), intake_rules(settings), SystemClock()
    await _refuse_members(settings, new)
    counts = await partition_counts(options, settings.topics())
    kept = kept_of(settings.entities)
    stores = RedisStore(settings.redis_url, settings.consumer_group, kept), RedisStore(new.redis_url, new.consumer_group, kept)
    dependencies = RepartitionDependencies(
        old=stores[0],
        new=stores[1],
        log=KafkaLog(options, settings.consumer_group, topics_of(settings).written),
        history=partial(KafkaLogSpans.open, options),
        topics=topics_of(settings),
        inputs=inputs_of(settings)[0],
        money=Money(settings.base_currency, read_rates(settings.rates_file)),
        partitions=one_count({t: counts.get(t, 0) for t in settings.topics()}, partial(unequal, settings)),
        clock=clock,
    )
    try:
        present_of(clock, rules).heard(await stores[0].now_ms())
        return await _made(dependencies, partitioner)
    finally:
        for store in stores:
            await store.close()


async def _refuse_members(settings: Settings, new: Settings) -> None:
    for group, members in (await member_counts(client_options(settings), [settings.consumer_group, new.consumer_group])).items():
        if members:
            raise TopologyError(
                f"Consumer group {group!r} has {members} members. Stop its workers, and what starts them again, then run this once more; "
                "a killed one leaves within 8 s."
            )


async def _made(dependencies: RepartitionDependencies, partitioner: str) -> Repartitioned:
    work = Repartition(dependencies)
    old_group = await work.take_over_old_group()
    sample = await work.sample(old_group)
    if verified(sample, old_group.counts, partitioner, PARTITIONERS):
        _SHOWN.print(f"Producers place keys by {partitioner}: so stand {len(sample):,} of the newest keys.")
    else:
        _SHOWN.print(
            f"The newest {len(sample):,} keys do not tell how producers place them: {partitioner} is taken, as --partitioner says."
        )
    place = PARTITIONERS[partitioner]

    @cache
    def home(card_id: str) -> int:
        return place(card_id.encode(), dependencies.partitions)

    with _bar() as bar:
        task = bar.add_task("")
        return await work.run(old_group, home, lambda count, of: bar.update(task, completed=count, total=of))


def _bar() -> Progress:
    columns = (BarColumn(), TextColumn("{task.completed:,.0f} of {task.total:,.0f} records read"), TimeElapsedColumn())
    return Progress(*columns, console=_SHOWN, transient=True, disable=not _SHOWN.is_terminal)
