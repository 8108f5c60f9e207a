"""`python -m benchmarks.growth.page RESULT ...`: what `make bench-growth` printed, as tables, chart and worked examples of docs/sizing.md.

RESULT is a file that ends with its last line. Of several, a curve that a later run measured (GROWTH_ONLY) stands in the place of the former's.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.pages import DARK, DOCS, GREY, between, last_result, refuse_failed, svg_of, svg_style

BEGIN, END = "<!-- growth: made by `python -m benchmarks.growth.page RESULT` -->", "<!-- /growth -->"
CURVES = {
    "cards": "cards",
    "partitions": "partitions",
    "workers": "workers",
    "features": "profile of features",
    "trees": "trees of the forest",
    "published": "what is published",
}
"""Every curve, as it is called in the page; what is unchanged in it, see `_middle_of`."""
_COMMAND = "make bench-growth"
_PROCESSES = {"worker": "#188038", "redis": "#3367d6", "broker": "#b06000"}
_KEEPS_FREE = 0.5
"""Of each worker and core: payments come in bursts, and latency grows where little is left."""
_COPIES, _DAYS, _OF_PEAK = 3, 40, 1 / 3
_REDIS_BESIDE = 2.0
"""Redis' memory by that of keys and values: a snapshot copies what is written meanwhile, and memory is in fragments."""


@dataclass(frozen=True, slots=True)
class Estate:
    """What is to be sized.

    Attributes:
        peak_per_s: payments in the busiest seconds; a third of that in the mean of a day.
        cards: with state. A tenth as many terminals.
    """

    peak_per_s: int
    cards: int


ESTATES = (Estate(3_000, 5_000_000), Estate(50_000, 100_000_000))


def merged(texts: Sequence[str]) -> dict[str, Any]:
    """One result of what several runs printed: the first has the middle, of each curve the last run that measured it has it.

    Raises:
        ValueError: a curve is missing, or a step of one failed.
    """
    found, failed = dict[str, Any](), dict[str, str]()
    for text in texts:
        run = last_result(text, {"middle"}, _COMMAND, partly=True)
        curves = {name: curve for name, curve in run.items() if name not in {"middle", "failed"}}
        failed = {name: why for name, why in failed.items() if name.partition(":")[0] not in curves} | run.get("failed", {})
        found = {"middle": run["middle"]} | found | curves
    refuse_failed({"failed": failed}, _COMMAND)
    if missing := {*CURVES, "full"} - found.keys():
        raise ValueError(f"{_COMMAND} did not measure {', '.join(sorted(missing))}: give a run without GROWTH_ONLY, or one of these too.")
    return found


def section(result: Mapping[str, Any]) -> str:
    """What stands between the marks of the page, in Markdown."""
    parts = ["![CPU of a payment, by what is changed](growth.svg)", growth_table(result), store_table(result), sizing_table(result)]
    return "\n\n".join(parts)


def _middle_of(result: Mapping[str, Any], curve: str) -> str:
    middle = result["middle"]
    names: dict[str, str] = {
        "cards": f"{middle['cards']:,}", "partitions": str(middle["partitions"]), "workers": "", "features": middle["profile"],
        "trees": str(middle["trees"]), "published": "alerts of the model's threshold",
    }  # fmt: skip
    return names[curve]


def points(result: Mapping[str, Any], curve: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Names and points of a curve, with the middle in its place: by number where they are numbers."""
    of_curve = dict(result[curve])
    if middle := _middle_of(result, curve):
        of_curve[middle.replace(",", "")] = result["middle"]
    numbers = all(name.isdigit() for name in of_curve)
    for name in sorted(of_curve, key=lambda n: int(n) if numbers else of_curve[n]["cpu_us"]["worker"]):
        yield f"{int(name):,}" if numbers else name, of_curve[name]


def growth_table(result: Mapping[str, Any]) -> str:
    """A row for each point."""
    rows = [
        "| changed | | payments/s, median | CPU of a payment, µs: worker, Redis, broker | keys read a payment | memory of a worker |",
        "|---|---|---|---|---|---|",
    ]
    for curve, about in CURVES.items():
        for n, (name, point) in enumerate(points(result, curve)):
            cpu = ", ".join(f"{point['cpu_us'][process]:g}" for process in _PROCESSES)
            first = f"**{about}**" if n == 0 else ""
            rows.append(f"| {first} | {name} | {point['scored_per_s']:,} | {cpu} | {point['keys_read']:g} | {point['worker_peak_mb']} MB |")
    return "\n".join(rows)


def store_table(result: Mapping[str, Any]) -> str:
    """What an entity takes whose windows are full."""
    few, *_ = result["full"].values()
    entities = [*few["redis"]]
    rows = [
        f"| windows full | {' | '.join(f'Redis, bytes of a {entity} (keys of one)' for entity in entities)} | Kafka, bytes of a payment: transaction, alert, score |",
        "|---|" + "---|" * (len(entities) + 1),
    ]
    for partitions, full in result["full"].items():
        cells = [f"{_bytes_of(full, entity):,} ({full['redis'][entity]['keys'] / _many(full, entity):.1f})" for entity in entities]
        kafka = ", ".join(f"{size:g}" for size in full["kafka_bytes_a_payment"].values())
        rows.append(
            f"| {partitions} partitions, {full['cards']:,} cards, {full['payments']:,} payments in 40 days | {' | '.join(cells)} | {kafka} |"
        )
    return "\n".join(rows)


def _many(full: Mapping[str, Any], entity: str) -> float:
    """How many there are of an entity: `run.FULL_TERMINALS` is a tenth of the cards, and every card has a device."""
    return float(full["cards"]) / 10 if entity == "terminal" else float(full["cards"])


def _bytes_of(full: Mapping[str, Any], entity: str) -> int:
    """Bytes of one, all its keys."""
    keys = full["redis"][entity]
    return int(keys["keys"] * keys["bytes_a_key"] / _many(full, entity))


def sizing_table(result: Mapping[str, Any]) -> str:
    """A column for each estate, computed from the curves."""
    many = [*result["full"].values()][-1]
    columns = [_sized(estate, result, many) for estate in ESTATES]
    rows = ["| computed from these | " + " | ".join(f"{e.peak_per_s:,}/s at the peak, {e.cards / 1e6:g} M cards" for e in ESTATES) + " |"]
    rows += ["|---|" + "---|" * len(ESTATES)]
    rows += [f"| {name} | " + " | ".join(column[name] for column in columns) + " |" for name in columns[0]]
    return "\n".join(rows)


def _workers(estate: Estate, result: Mapping[str, Any]) -> tuple[int, dict[str, float]]:
    """How many workers, and CPU of a payment by process, µs: with the most cards, so many partitions, and others beside each."""
    largest, middle = [*points(result, "cards")][-1][1], result["middle"]
    workers, needed = 0, 1
    while needed > workers:
        workers = needed
        dearer = _times(middle, _of_partitions(result, _partitions(workers)))
        if workers > 1:
            alone, *_, shared = [point for _, point in points(result, "workers")]
            dearer = {name: dearer[name] * times for name, times in _times(alone, shared).items()}
        needed = math.ceil(estate.peak_per_s * dearer["worker"] / (_KEEPS_FREE * largest["scored_per_s"]))
    return workers, {name: largest["cpu_us"][name] * times for name, times in dearer.items()}


def _times(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, float]:
    """How many times the CPU of one point another takes, by process."""
    return {name: other["cpu_us"][name] / one["cpu_us"][name] for name in _PROCESSES}


def _of_partitions(result: Mapping[str, Any], partitions: int) -> Mapping[str, Any]:
    """The point of so many partitions, or of the next that was measured; the last one where there are more."""
    measured = [(int(name), point) for name, point in points(result, "partitions")]
    return next((point for many, point in measured if many >= partitions), measured[-1][1])


def _sized(estate: Estate, result: Mapping[str, Any], full: Mapping[str, Any]) -> dict[str, str]:
    (workers, cpu_us), largest = _workers(estate, result), [*points(result, "cards")][-1][1]
    cores = {name: estate.peak_per_s * cpu_us[name] / 1e6 / _KEEPS_FREE for name in _PROCESSES}
    of_a_card = _bytes_of(full, "card") + _bytes_of(full, "device") + _bytes_of(full, "terminal") / 10
    redis_gb = estate.cards * of_a_card / 1e9
    a_day = estate.peak_per_s * _OF_PEAK * 86_400
    kafka_gb = {name: a_day * size / 1e9 for name, size in full["kafka_bytes_a_payment"].items()}
    return {
        "workers": f"{workers}",
        "partitions": f"{_partitions(workers)}",
        "cores: workers, Redis, brokers": ", ".join(f"{cores[name]:.1f}" for name in _PROCESSES),
        "memory of the workers": f"{workers * largest['worker_peak_mb'] / 1000:.1f} GB",
        "Redis: keys and values; memory to give it": f"{redis_gb:,.0f} GB; {redis_gb * _REDIS_BESIDE:,.0f} GB",
        "Kafka a day: transactions, alerts, scores; one copy": ", ".join(f"{size:,.1f}" for size in kafka_gb.values()) + " GB",
        f"Kafka's disks: {_COPIES} copies, {_DAYS} days": f"{sum(kafka_gb.values()) * _COPIES * _DAYS / 1000:,.1f} TB",
    }


def _partitions(workers: int) -> int:
    """Twice as many as workers, a power of two: they share them evenly when one is away, and there is room to grow."""
    return max(4, 1 << math.ceil(math.log2(2 * workers)))


def chart(result: Mapping[str, Any]) -> str:
    """CPU of a payment of each point as an SVG. The same result gives the same picture."""
    with svg_style("growth"):
        figure = Figure(figsize=(8.4, 6.4), facecolor="white", layout="constrained")
        panels = figure.subplots(3, 2)
        highest = max(sum(point["cpu_us"].values()) for curve in CURVES for _, point in points(result, curve))
        for axes, (curve, about) in zip(panels.flat, CURVES.items(), strict=True):
            named = [*points(result, curve)]
            left = [0.0] * len(named)
            for process, colour in _PROCESSES.items():
                widths = [point["cpu_us"][process] for _, point in named]
                axes.barh([name for name, _ in named], widths, left=left, color=colour, height=0.6, label=process)
                left = [a + b for a, b in zip(left, widths, strict=True)]
            for place, total in enumerate(left):
                axes.text(total, place, f" {total:.0f}", va="center", color=DARK, fontsize=9)
            axes.set_xlim(0, 1.15 * highest)
            axes.invert_yaxis()
            axes.set_title(about, loc="left", fontsize=10, color=DARK)
            axes.spines[["top", "right", "bottom"]].set_visible(False)
            axes.spines["left"].set_color(GREY)
            axes.tick_params(left=False, bottom=False, labelbottom=False, labelcolor=DARK, labelsize=9)
        handles, _ = panels.flat[0].get_legend_handles_labels()
        figure.legend(handles, ["worker", "Redis", "broker"], loc="outside upper left", ncols=3, frameon=False, fontsize=9)
        figure.suptitle("CPU of a payment, µs", x=0.99, ha="right", fontsize=10, color=DARK)
        return svg_of(figure)


def written(page: str, result: Mapping[str, Any]) -> str:
    """The page with its part made anew.

    Raises:
        ValueError: the page has no marks.
    """
    return between(page, BEGIN, END, section(result))


def main(files: Sequence[str]) -> None:
    """Write tables and chart."""
    page = DOCS / "sizing.md"
    try:
        result = merged([Path(file).read_text() for file in files])
        page.write_text(written(page.read_text(), result))
    except (OSError, ValueError) as error:
        sys.exit(f"bench-growth: {error}")
    (DOCS / "growth.svg").write_text(chart(result))


if __name__ == "__main__":
    if len(sys.argv) < len(("program", "result")):
        sys.exit("bench-growth: give the file, as in `python -m benchmarks.growth.page growth.txt`")
    main(sys.argv[1:])
