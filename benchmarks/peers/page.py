"""`python -m benchmarks.peers.page RESULT`: what `make bench-peers` printed, as table and chart of docs/performance.md.

RESULT is a file that ends with its last line. A run whose scores differ is refused: those systems did not do the same work.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.pages import DARK, DOCS, GREY, between, last_result, svg_of, svg_style

BEGIN, END = "<!-- peers: made by `python -m benchmarks.peers.page RESULT` -->", "<!-- /peers -->"
NAMES = {
    "limit": "the limit",
    "fraudstream": "Fraudstream",
    "kafka_streams": "Kafka Streams",
    "quix": "Quix Streams",
    "faust": "Faust, naive",
}
"""Every system, as it is called in the page."""
_PROCESSES = ("worker", "redis", "broker")
_OURS, _THEIRS = "#188038", "#3367d6"


def of_run(text: str) -> dict[str, Any]:
    """The result in what `make bench-peers` printed, its last line.

    Raises:
        ValueError: the run failed, or its systems did not do the same work.
    """
    result = last_result(text, {*NAMES, "ratios", "scores_agree"}, "make bench-peers")
    if result["scores_agree"] is not True:
        raise ValueError(f"the scores differ, so it is not the same work: {result['agreement']} agree. Look for the cause.")
    return result


def section(result: dict[str, Any]) -> str:
    """What stands between the marks of the page, in Markdown."""
    return "\n".join(["![Payments a second, side by side](peers.svg)", "", table(result)])


def table(result: dict[str, Any]) -> str:
    """A row for each system, the fastest first; those that could not be run say why."""
    ran = sorted((name for name in NAMES if result[name]), key=lambda name: -result[name]["scored_per_s"])
    first = f"one run, {result['cards']:,} cards, {result['history']:,} payments before, {result['alerted']:.1%} alerted"
    rows = [
        f"| {first} | payments/s, median | runs | CPU of a payment, µs: its own, Redis, broker | Fraudstream ÷ this |",
        "|---|---|---|---|---|",
    ]
    for name in ran:
        of = result[name]
        ratio = result["ratios"].get(f"fraudstream_to_{name}", 1)
        runs = f"{min(of['runs']):,} to {max(of['runs']):,}"
        cpu = ", ".join(f"{of['cpu_us'][p]:g}" for p in _PROCESSES if p in of["cpu_us"])
        rows.append(f"| **{NAMES[name]}**: {of['about']} | {of['scored_per_s']:,} | {runs} | {cpu} | {ratio:.2f} |")
    rows += [f"| **{NAMES[name]}** | not run: {_in_a_cell(why)} | | | |" for name, why in result["missing"].items()]
    return "\n".join(rows)


def _in_a_cell(text: str) -> str:
    return " ".join(text.replace("|", "/").split())


def chart(result: dict[str, Any]) -> str:
    """Payments a second of each system as an SVG, on white: it is read on dark pages too. The same result gives the same picture."""
    ran = sorted((name for name in NAMES if result[name] and name != "limit"), key=lambda name: result[name]["scored_per_s"])
    rates = [result[name]["scored_per_s"] for name in ran]
    with svg_style("peers"):
        figure = Figure(figsize=(7.2, 0.7 + 0.5 * len(ran)), facecolor="white", layout="tight")
        axes = figure.subplots()
        bars = axes.barh(
            [NAMES[name] for name in ran], rates, color=[_OURS if name == "fraudstream" else _THEIRS for name in ran], height=0.6
        )
        for name, bar in zip(ran, bars, strict=True):
            lowest, highest = min(result[name]["runs"]), max(result[name]["runs"])
            middle = bar.get_y() + bar.get_height() / 2
            axes.plot([lowest, highest], [middle, middle], color=DARK, linewidth=1.2)
            axes.text(highest, middle, f"  {result[name]['scored_per_s']:,}/s", va="center", color=DARK, fontsize=10)
        axes.set_xlim(0, 1.25 * max(max(result[name]["runs"]) for name in ran))
        axes.spines[["top", "right", "bottom"]].set_visible(False)
        axes.spines["left"].set_color(GREY)
        axes.tick_params(left=False, bottom=False, labelbottom=False, labelcolor=DARK)
        return svg_of(figure)


def written(page: str, result: dict[str, Any]) -> str:
    """The page with its part about peers made anew.

    Raises:
        ValueError: the page has no marks.
    """
    return between(page, BEGIN, END, section(result))


def main(file: str) -> None:
    """Write table and chart."""
    page = DOCS / "performance.md"
    try:
        result = of_run(Path(file).read_text())
        page.write_text(written(page.read_text(), result))
    except (OSError, ValueError) as error:
        sys.exit(f"bench-peers: {error}")
    (DOCS / "peers.svg").write_text(chart(result))


if __name__ == "__main__":
    if len(sys.argv) != len(("program", "result")):
        sys.exit("bench-peers: give the file, as in `python -m benchmarks.peers.page peers.txt`")
    main(sys.argv[1])
