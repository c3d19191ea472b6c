"""Formats results for a terminal. Control characters in users' names are replaced."""

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import click
import msgspec

from shared.contract.body import unpack_segments
from shared.contract.model import Emoji, File, Image, Recalled, Segment, Text

T = TypeVar("T")

Row = Sequence[object]


def table(heads: Sequence[str], rows: Iterable[Row], nothing: str = "") -> str:
    """A table whose columns are as wide as their widest cell. `nothing`: the text to return if there are no rows."""
    lines = [list(heads), *([_cell(value) for value in row] for row in rows)]
    if nothing and len(lines) == 1:
        return nothing
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_line(line, widths) for line in lines)


def record(*fields: tuple[str, object]) -> str:
    """The fields as text, one line per field."""
    rows = [[name, _cell(value)] for name, value in fields]
    widths = [max(_width(name) for name, _ in rows), 0]
    return "\n".join(_line(row, widths) for row in rows)


def show(found: T, text: Callable[[T], str], *, as_json: bool) -> None:
    """Prints a result, as JSON or as text."""
    click.echo(json(found) if as_json else text(found))


def json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value)).decode()


def account(number: int) -> str:
    return f"{number:010d}" if number else ""


def moment(milliseconds: float) -> str:
    """A time in Unix milliseconds as text; empty for 0."""
    if not milliseconds:
        return ""
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def exact(milliseconds: int) -> str:
    """Like `moment`, with milliseconds."""
    if not milliseconds:
        return ""
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M:%S}.{milliseconds % 1000:03d}"


def content(body: bytes) -> list[dict[str, Any]]:
    """A message's segments in the form of the operator's commands: each segment is an object with one member, whose
    name is the kind of the segment and whose value is its content."""
    return [_part(segment) for segment in unpack_segments(body)]


def _part(segment: Segment) -> dict[str, Any]:
    match segment:
        case Text():
            return {"text": segment.text}
        case Emoji():
            return {"emoji": segment.emoji_id}
        case Image() | File():
            kind = "image" if isinstance(segment, Image) else "file"
            return {kind: msgspec.structs.asdict(segment.media)}
        case Recalled():
            return {"recalled": True}


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell + " " * (width - _width(cell)) for cell, width in zip(cells, widths, strict=True))
    return "  ".join(padded).rstrip()


def _cell(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(map(_cell, value)) or "-"
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in str(value)) or "-"


def _width(text: str) -> int:
    """The width of a text in terminal columns."""
    wide = sum(unicodedata.east_asian_width(one) in "WF" for one in text)
    return len(text) + wide - sum(unicodedata.combining(one) > 0 for one in text)
