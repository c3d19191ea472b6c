"""Makes the diagrams in docs/images from the texts in docs/diagrams. A text with `sequence:` has steps between parts,
and a text with `boxes:` has rows of parts. Diagrams have the light or dark colours of the reader's theme."""

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent
_STYLE = """<style>
text { font: 14px sans-serif; fill: #222; text-anchor: middle }
rect { fill: #eef2f8; stroke: #567; rx: 6px }
path { stroke: #567; fill: none; marker-end: url(#tip) }
line { stroke: #bbb; stroke-dasharray: 4 }
#tip path { fill: #567; marker-end: none }
@media (prefers-color-scheme: dark) {
text { fill: #ddd } rect { fill: #26303c; stroke: #9ab } path { stroke: #9ab } #tip path { fill: #9ab }
line { stroke: #555 }
}
</style><defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">
<path d="M0 0 8 4 0 8z"/></marker></defs>"""
_WIDTH, _BOX, _STEP, _ROW = 190, 36, 44, 96


class Arrow(NamedTuple):
    start: str
    end: str
    text: str


class Diagram(NamedTuple):
    kind: str
    title: str
    rows: list[list[str]]
    arrows: list[Arrow]


def read(text: str) -> Diagram:
    first, *lines = text.splitlines()
    kind, _, title = first.partition(": ")
    arrows = [Arrow(*found.groups("")) for line in lines if (found := re.fullmatch(r"(.+?) -> (.+?)(?:: (.+))?", line))]
    rows = [line.split(" | ") for line in lines if "->" not in line]
    if kind == "sequence":
        rows = [list(dict.fromkeys(name for arrow in arrows for name in arrow[:2]))]
    return Diagram(kind, title, rows, arrows)


def drawn(diagram: Diagram) -> str:
    width = max(map(len, diagram.rows)) * _WIDTH
    height = _BOX + (len(diagram.arrows) + 1) * _STEP if diagram.kind == "sequence" else len(diagram.rows) * _ROW
    parts = "\n".join(_sequence(diagram, height) if diagram.kind == "sequence" else _boxes(diagram, width))
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    title = f"<title>{html.escape(diagram.title)}</title>"
    return f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size}>\n{title}{_STYLE}\n{parts}\n</svg>\n'


def _box(name: str, x: int, y: int) -> str:
    shape = f'<rect x="{x - _WIDTH // 2 + 8}" y="{y}" width="{_WIDTH - 16}" height="{_BOX}"/>'
    return f"{shape}{_label(name, x, y + 23)}"


def _label(text: str, x: int, y: int) -> str:
    return f'<text x="{x}" y="{y}">{html.escape(text)}</text>'


def _sequence(diagram: Diagram, height: int) -> Iterator[str]:
    places = {name: number * _WIDTH + _WIDTH // 2 for number, name in enumerate(diagram.rows[0])}
    for name, x in places.items():
        yield f'<line x1="{x}" y1="{_BOX}" x2="{x}" y2="{height}"/>{_box(name, x, 1)}'
    for number, arrow in enumerate(diagram.arrows, 1):
        start, end, y = places[arrow.start], places[arrow.end], _BOX + number * _STEP
        yield f'<path d="M{start} {y}H{end}"/>{_label(arrow.text, (start + end) // 2, y - 6)}'


def _boxes(diagram: Diagram, width: int) -> Iterator[str]:
    places = {
        name: (width * (2 * column + 1) // (2 * len(row)), number * _ROW + 1)
        for number, row in enumerate(diagram.rows)
        for column, name in enumerate(row)
    }
    for name, (x, y) in places.items():
        yield _box(name, x, y)
    for arrow in diagram.arrows:
        (x, y), (to, below) = places[arrow.start], places[arrow.end]
        ends = (y + _BOX, below) if y < below else (y, below + _BOX)
        yield f'<path d="M{x} {ends[0]}L{to} {ends[1]}"/>'
        yield _label(arrow.text, (x + to) // 2, sum(ends) // 2 + 4) if arrow.text else ""


def diagrams() -> Iterator[tuple[Path, str]]:
    for source in sorted((ROOT / "diagrams").glob("*.txt")):
        yield ROOT / "images" / f"{source.stem}.svg", drawn(read(source.read_text(encoding="utf-8")))
