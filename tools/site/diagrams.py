"""
Draw the diagrams of docs/ as SVG, from one description each.

Each is drawn twice: wide for desktops and narrow for phones. As files, they follow the reader's colour scheme on their
own; the site puts them into its pages, where they follow the site's (see ``hooks.py``).

    diagrams.py           draws them
    diagrams.py --check   fails if a file differs from what it would draw
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from html import escape
from pathlib import Path

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"

BOX_WIDTH, BOX_HEIGHT = 180, 58
GAP_X, GAP_Y = 28, 40
LANE_LABEL, MARGIN, GUTTER = 22, 4, 20  # arrows that would cross a label run in the gutter on the left
NARROW_WIDTH, NARROW_GAP = 300, 24
CORNER = 8

# The colours when the file is viewed on its own. On the site, docs/stylesheets/site.css sets them.
COLOURS = """
  .diagram { --box: #f6f7fb; --edge: #4051b5; --ink: #1f2330; --note: #5b6172; --strong: #e4e7fa; }
  @media (prefers-color-scheme: dark) {
    .diagram { --box: #232635; --edge: #9aa8ff; --ink: #eceef7; --note: #a9afc3; --strong: #31365a; }
  }
"""
SHAPES = """
  .diagram rect { fill: var(--box); stroke: var(--edge); stroke-width: 1.2; }
  .diagram .strong rect { fill: var(--strong); }
  .diagram .apart rect { stroke-dasharray: 4 3; }
  .diagram text { font-family: system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; text-anchor: middle; }
  .diagram .title { font-size: 14px; font-weight: 600; fill: var(--ink); }
  .diagram .note { font-size: 11.5px; fill: var(--note); }
  .diagram .lane { font-size: 12px; font-weight: 600; fill: var(--edge); text-anchor: start; }
  .diagram .arrow { fill: none; stroke: var(--edge); stroke-width: 1.4; }
  .diagram .head { fill: var(--edge); }
"""


@dataclass(frozen=True)
class Box:
    """One box: its place in the grid, its text, and its look (``strong``: ours, ``apart``: not Flink's)."""

    name: str
    row: int
    column: int
    title: str
    note: str
    look: str = ""


@dataclass(frozen=True)
class Diagram:
    """Boxes, arrows between them by name, and a label for each row."""

    file: str
    description: str
    boxes: tuple[Box, ...]
    arrows: tuple[tuple[str, str], ...]
    lanes: tuple[str, ...]


PATH_OF_A_SAMPLE = Diagram(
    "path-of-a-sample",
    "The path of a sample: record, element converter, checks, known series, shard, request, POST, response.",
    (
        Box("record", 0, 0, "Record", "whatever your job has"),
        Box("converter", 0, 1, "Element converter", "one series, several, or none"),
        Box("check", 1, 0, "Check", "name, labels, value, time", "strong"),
        Box("series", 1, 1, "Known series", "labels encoded once", "strong"),
        Box("shard", 1, 2, "Shard's queue", "chosen by series: order", "strong"),
        Box("batch", 2, 0, "Request", "sorted, no duplicates", "strong"),
        Box("encode", 2, 1, "Encode", "2.0 or 1.0, Snappy", "strong"),
        Box("post", 2, 2, "POST", "one at a time per shard", "strong"),
        Box("written", 3, 0, "2xx", "counted as written", "apart"),
        Box("retried", 3, 1, "429 or 5xx", "or no response: retried", "apart"),
        Box("refused", 3, 2, "Other 4xx", "counted, passed to handler", "apart"),
    ),
    (
        ("record", "converter"),
        ("converter", "check"),
        ("check", "series"),
        ("series", "shard"),
        ("shard", "batch"),
        ("batch", "encode"),
        ("encode", "post"),
        ("post", "written"),
        ("post", "retried"),
        ("post", "refused"),
    ),
    ("Your code, in the writer's operator", "The writer, on Flink's thread", "A shard, on its own thread", "Response"),
)

JOB_GRAPH = Diagram(
    "job-graph",
    "The job graph: source, your steps, the Prometheus writer, and Flink's discarding sink; the writer posts to the "
    "receiver and passes rejected samples to the handler.",
    (
        Box("source", 0, 0, "Source", "Java or Python"),
        Box("steps", 0, 1, "Your steps", "operators, windows, SQL"),
        Box("writer", 0, 2, "Prometheus writer", "flushes before checkpoints", "strong"),
        Box("end", 0, 3, "Discarding sink", "ends the graph, gets nothing"),
        Box("receiver", 1, 2, "Receiver", "Prometheus and others", "apart"),
        Box("handler", 1, 3, "Rejected samples", "log, files or a function", "apart"),
    ),
    (
        ("source", "steps"),
        ("steps", "writer"),
        ("writer", "end"),
        ("writer", "receiver"),
        ("writer", "handler"),
    ),
    ("Flink job", "Outside Flink"),
)

DIAGRAMS = (PATH_OF_A_SAMPLE, JOB_GRAPH)


def wide(diagram: Diagram) -> str:
    """Draw rows of boxes, each row under its label."""
    columns = 1 + max(box.column for box in diagram.boxes)
    step = BOX_HEIGHT + GAP_Y + LANE_LABEL
    places = {
        box.name: (MARGIN + GUTTER + box.column * (BOX_WIDTH + GAP_X), MARGIN + LANE_LABEL + box.row * step)
        for box in diagram.boxes
    }
    drawn = [
        f'<text class="lane" x="{MARGIN + GUTTER}" y="{MARGIN + row * step + 13}">{escape(label)}</text>'
        for row, label in enumerate(diagram.lanes)
    ]
    drawn += [_wide_arrow(places[start], places[end]) for start, end in diagram.arrows]
    drawn += [_box(box, *places[box.name], BOX_WIDTH) for box in diagram.boxes]
    width = 2 * MARGIN + GUTTER + columns * (BOX_WIDTH + GAP_X) - GAP_X
    return _svg(diagram, "wide", width, 2 * MARGIN + len(diagram.lanes) * step - GAP_Y, drawn)


def narrow(diagram: Diagram) -> str:
    """Draw one column of boxes; arrows that skip boxes run beside them."""
    drawn, places, y = [], {}, MARGIN
    for row, label in enumerate(diagram.lanes):
        drawn.append(f'<text class="lane" x="{MARGIN + GUTTER}" y="{y + 13}">{escape(label)}</text>')
        y += LANE_LABEL
        for box in (box for box in diagram.boxes if box.row == row):
            places[box.name] = y
            drawn.append(_box(box, MARGIN + GUTTER, y, NARROW_WIDTH))
            y += BOX_HEIGHT + NARROW_GAP
        y += 4
    in_order = list(places)
    middle, left = MARGIN + GUTTER + NARROW_WIDTH * 3 / 4, MARGIN + GUTTER
    arrows = []
    for start, end in diagram.arrows:
        if in_order.index(end) == in_order.index(start) + 1:
            arrows.append(_arrow(f"M{middle:g} {places[start] + BOX_HEIGHT}V{places[end] - 6}", middle, places[end]))
        else:
            out, into = places[start] + BOX_HEIGHT / 2, places[end] + BOX_HEIGHT / 2
            path = f"M{left} {out:g}H{left - 14}V{into:g}H{left - 6}"
            arrows.append(_arrow(path, left, into, sideways=True))
    return _svg(diagram, "narrow", NARROW_WIDTH + GUTTER + 2 * MARGIN, y - NARROW_GAP, arrows + drawn)


def _wide_arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    (x1, y1), (x2, y2) = start, end
    if y1 == y2:
        y = y1 + BOX_HEIGHT / 2
        return _arrow(f"M{x1 + BOX_WIDTH} {y:g}H{x2 - 6}", x2, y, sideways=True)
    centre, target, between = x1 + BOX_WIDTH / 2, x2 + BOX_WIDTH / 2, y1 + BOX_HEIGHT + GAP_Y / 2 - 4
    if x1 != x2 == MARGIN + GUTTER:
        into = y2 + BOX_HEIGHT / 2
        path = f"M{centre:g} {y1 + BOX_HEIGHT}V{between:g}H{MARGIN + 2}V{into:g}H{x2 - 6}"
        return _arrow(path, x2, into, sideways=True)
    return _arrow(f"M{centre:g} {y1 + BOX_HEIGHT}V{between:g}H{target:g}V{y2 - 6}", target, y2)


def _arrow(path: str, x: float, y: float, *, sideways: bool = False) -> str:
    head = f"M{x:g} {y:g}l-8 -4v8z" if sideways else f"M{x:g} {y:g}l-4 -8h8z"
    return f'<path class="arrow" d="{path}"/><path class="head" d="{head}"/>'


def _box(box: Box, x: float, y: float, width: float) -> str:
    centre = x + width / 2
    return (
        f'<g class="{box.look or "plain"}"><rect x="{x}" y="{y}" width="{width}" height="{BOX_HEIGHT}" rx="{CORNER}"/>'
        f'<text class="title" x="{centre:g}" y="{y + 25}">{escape(box.title)}</text>'
        f'<text class="note" x="{centre:g}" y="{y + 43}">{escape(box.note)}</text></g>'
    )


def _svg(diagram: Diagram, kind: str, width: float, height: float, drawn: list[str]) -> str:
    lines = "\n".join(drawn)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="diagram {kind}" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" role="img" aria-label="{escape(diagram.description)}">\n'
        f"<style>{COLOURS}{SHAPES}</style>\n{lines}\n</svg>\n"
    )


def main() -> None:
    """Draw all diagrams, or report a file that differs from its drawing."""
    for diagram in DIAGRAMS:
        for name, drawn in ((diagram.file, wide(diagram)), (f"{diagram.file}-narrow", narrow(diagram))):
            path = PICTURES / f"{name}.svg"
            if "--check" not in sys.argv:
                path.write_text(drawn, encoding="utf-8")
            elif not path.exists() or path.read_text(encoding="utf-8") != drawn:
                sys.exit(f"run tools/site/diagrams.py: {path.name} is out of date")


if __name__ == "__main__":
    main()
