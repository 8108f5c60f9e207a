"""Draw docs/paths.svg: `python scripts/draw_paths.py`. The picture is text, so that a change of the paths is a change here."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

WIDTH, HEIGHT, LEFT = 1120, 560, 24
STORE, STEP, RESULT = ("#e8f0fe", "#3367d6"), ("#ffffff", "#5f6368"), ("#e6f4ea", "#188038")
BAD, STATE = ("#fce8e6", "#c5221f"), ("#fef7e0", "#b06000")


class Box(NamedTuple):
    """A box: its place, its size, a title, a line below it, and its colours (fill, edge)."""

    x: int
    y: int
    width: int
    title: str
    below: str
    colours: tuple[str, str]
    height: int = 56


LANES = (("A transaction", 20, 250, "#f8fafd"), ("A label", 286, 112, "#fbfaf5"), ("A model", 414, 126, "#f7fbf8"))
BOXES = (
    Box(44, 62, 140, "transactions", "Kafka topic, by card", STORE),
    Box(219, 62, 140, "decode, validate", "one micro-batch", STEP),
    Box(394, 62, 140, "features", "card and terminal", STEP),
    Box(574, 62, 120, "score", "ONNX forest", STEP),
    Box(734, 62, 140, "decide", "threshold, reasons", STEP),
    Box(936, 62, 150, "fraud-alerts", "Kafka topic", RESULT),
    Box(219, 186, 140, "transactions-dlq", "what cannot be read", BAD),
    Box(394, 186, 226, "Redis", "windows of cards, terminals; position", STATE),
    Box(44, 326, 140, "fraud-labels", "Kafka topic, by card", STORE),
    Box(394, 326, 226, "fraud counts", "of terminals, read seven days delayed", STEP),
    Box(44, 464, 140, "history", "transactions, labels", STORE),
    Box(219, 464, 140, "replay", "the same features", STEP),
    Box(394, 464, 140, "split by time, fit", "with a label gap", STEP),
    Box(574, 464, 120, "evaluate", "pick threshold", STEP),
    Box(734, 464, 140, "export to ONNX", "parity gate", STEP),
    Box(936, 464, 150, "MLflow registry", "alias champion", RESULT),
)
# Each arrow: its points, and a dash where it is not on the transaction's own way.
ARROWS = (
    ("M184 90 H217", ""),
    ("M359 90 H392", ""),
    ("M534 90 H572", ""),
    ("M694 90 H732", ""),
    ("M874 90 H934", ""),
    ("M289 118 V184", ""),
    ("M440 186 V120", ""),
    ("M804 118 V214 H622", ""),
    ("M184 354 H392", ""),
    ("M507 326 V244", ""),
    ("M184 492 H217", ""),
    ("M359 492 H392", ""),
    ("M534 492 H572", ""),
    ("M694 492 H732", ""),
    ("M874 492 H934", ""),
    ("M1011 464 V258 H660 V120", "5 4"),
)
NOTES = ((448, 152, "read"), (812, 164, "write, with the position"), (297, 152, "invalid"), (852, 251, "the worker loads it at start"))


def _box(box: Box) -> str:
    fill, edge = box.colours
    middle = box.x + box.width / 2
    return (
        f'<rect x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="8" fill="{fill}" stroke="{edge}" stroke-width="1.4"/>'
        f'<text x="{middle}" y="{box.y + 25}" class="title">{box.title}</text>'
        f'<text x="{middle}" y="{box.y + 43}" class="below">{box.below}</text>'
    )


def draw() -> str:
    """The picture."""
    lanes = "\n".join(
        f'<rect x="{LEFT}" y="{y}" width="{WIDTH - 2 * LEFT}" height="{height}" rx="12" fill="{fill}" stroke="#dadce0"/>'
        f'<text x="44" y="{y + 25}" class="lane">{name}</text>'
        for name, y, height, fill in LANES
    )
    arrows = "\n".join(f'<path d="{path}" class="arrow" stroke-dasharray="{dash or "none"}"/>' for path, dash in ARROWS)
    notes = "\n".join(f'<text x="{x}" y="{y}" class="note">{text}</text>' for x, y, text in NOTES)
    boxes = "\n".join(map(_box, BOXES))
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="t" font-family="Helvetica, Arial, sans-serif">
<title id="t">Fraudstream's three paths: a transaction, a label, a model</title>
<style>
.lane {{ font-size: 15px; font-weight: 700; fill: #3c4043; }}
.title {{ font-size: 13px; font-weight: 600; fill: #202124; text-anchor: middle; }}
.below {{ font-size: 11px; fill: #5f6368; text-anchor: middle; }}
.note {{ font-size: 11px; fill: #5f6368; }}
.arrow {{ fill: none; stroke: #5f6368; stroke-width: 1.5; marker-end: url(#tip); }}
</style>
<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto-start-reverse">
<path d="M0 0 L10 5 L0 10 z" fill="#5f6368"/></marker></defs>
<rect width="{WIDTH}" height="{HEIGHT}" rx="14" fill="#ffffff"/>
{lanes}
{arrows}
{boxes}
{notes}
</svg>
"""


if __name__ == "__main__":
    Path(__file__).resolve().parent.parent.joinpath("docs", "paths.svg").write_text(draw())
