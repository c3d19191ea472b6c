"""The readable parts of Slack's blocks and attachments, as lines of text; pure. What is of another type than Slack
documents is passed over."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

_DEPTH = 12
_MARK = re.compile(r"<([^<>|]+)(?:\|([^<>]*))?>")
_ESCAPED = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))
_PARTS = (
    "author_name", "title", "label", "text", "description", "subtitle", "body", "alt_text", "placeholder", "fields",
    "accessory", "elements", "options", "blocks", "rows", "cells",
)  # fmt: skip
"""Of a block or of what is in one, in the order in which Slack shows them."""


def plain(text: str) -> str:
    """Slack's markup for links, mentions and dates as readable text, without its escapes."""
    text = _MARK.sub(_mark, text)
    for escaped, character in _ESCAPED:
        text = text.replace(escaped, character)
    return text


def _mark(found: re.Match[str]) -> str:
    what, shown = found[1], found[2] or ""
    if what.startswith("!date^"):
        return shown
    if what[0] in "@#!":
        name = shown or what.lstrip("@#!").rpartition("^")[2]
        return name if name[:1] in ("@", "#") else ("#" if what[0] == "#" else "@") + name
    if ":" not in what or " " in what:
        return found[0]
    return _link(what, shown)


def _link(address: str, shown: str) -> str:
    return f"{shown} ({address})" if shown and address and shown != address else address or shown


# Blocks


def block_lines(value: object, depth: int = _DEPTH) -> Iterator[str]:
    """Of a block, of several, or of what is in one."""
    if isinstance(value, str):
        yield plain(value)
    elif isinstance(value, list) and depth:
        for one in value:
            yield from block_lines(one, depth - 1)
    elif isinstance(value, dict) and depth:
        if value.get("type") == "rich_text":
            yield from _rich_lines(value.get("elements"), depth - 1)
        elif value.get("type") == "context" and isinstance(elements := value.get("elements"), list):
            yield from block_lines([_without_icon(one) for one in elements], depth - 1)
        else:
            yield from _object_lines(value, depth - 1)


def _object_lines(value: dict[str, Any], depth: int) -> Iterator[str]:
    lines = [line for name in _PARTS if name in value for line in block_lines(value[name], depth)]
    address = next((value[name] for name in ("image_url", "title_url", "url") if isinstance(value.get(name), str)), "")
    yield from [*lines[:-1], _link(address, lines[-1])] if lines and address else lines or [address]


def _without_icon(element: object) -> object:
    """A picture in a line of small print is as big as a letter."""
    if isinstance(element, dict) and element.get("type") == "image":
        return element.get("alt_text")
    return element


def _rich_lines(value: object, depth: int, indent: str = "") -> Iterator[str]:
    """Of a rich text: a line for each section, and for each item of a list."""
    for one in value if isinstance(value, list) and depth else ():
        if not isinstance(one, dict):
            continue
        elements, kind = one.get("elements"), one.get("type")
        if kind == "rich_text_list" and isinstance(elements, list):
            deeper = one.get("indent")
            inner = "  " * (deeper if isinstance(deeper, int) and 0 <= deeper <= _DEPTH else 0)
            for number, item in enumerate(elements, 1):
                bullet = f"{number}. " if one.get("style") == "ordered" else "• "
                yield from _rich_lines([item], depth - 1, f"{inner}{bullet}")
        elif isinstance(elements, list):
            quote = "> " if kind == "rich_text_quote" else ""
            yield indent + quote + "".join(_inline(element) for element in elements)
        else:
            yield indent + _inline(one)


def _inline(one: object) -> str:
    """Of a rich text's element. Its text is no markup."""
    if not isinstance(one, dict):
        return ""
    match one:
        case {"type": "link", "url": str(url)}:
            text = one.get("text")
            return _link(url, text if isinstance(text, str) else "")
        case {"type": "emoji", "unicode": str(points)}:
            return _emoji(points) or f":{one.get('name', '')}:"
        case {"type": "emoji", "name": str(name)}:
            return f":{name}:"
        case {"type": "user", "user_id": str(name)} | {"type": "usergroup", "usergroup_id": str(name)}:
            return f"@{name}"
        case {"type": "broadcast", "range": str(name)}:
            return f"@{name}"
        case {"type": "channel", "channel_id": str(name)}:
            return f"#{name}"
        case {"type": "date", "fallback": str(text)} | {"type": "color", "value": str(text)} | {"text": str(text)}:
            return text
        case {"type": "date", "timestamp": int(seconds)}:
            return moment(seconds)
        case _:
            return ""


def _emoji(points: str) -> str:
    """`1f44d-1f3fb` as characters; empty if it is none."""
    try:
        text = "".join(chr(int(point, 16)) for point in points.split("-"))
        text.encode()
    except (ValueError, OverflowError):
        return ""
    return text


def moment(seconds: float | str) -> str:
    """Unix seconds; empty for a time that there is not."""
    try:
        return datetime.fromtimestamp(float(seconds), UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return ""


# Attachments


def attachment_lines(value: object) -> Iterator[str]:
    """Of each attachment, `fallback` if it has nothing else."""
    for one in value if isinstance(value, list) else ():
        if isinstance(one, dict):
            lines = [line for line in _attachment(one) if line.strip()]
            fallback = one.get("fallback")
            yield from lines or ([plain(fallback)] if isinstance(fallback, str) else [])


def _attachment(one: dict[str, Any]) -> Iterator[str]:
    """In the order in which Slack shows it."""
    yield _text(one, "pretext")
    yield _link(_text(one, "author_link"), _text(one, "author_name"))
    yield _link(_text(one, "title_link"), _text(one, "title"))
    yield _text(one, "text")
    yield from _fields(one.get("fields"))
    yield from block_lines(one.get("blocks"))
    yield from block_lines(one.get("actions"))
    yield _text(one, "image_url")
    time = one.get("ts")
    shown = moment(time) if isinstance(time, int | float) or (isinstance(time, str) and time.isdecimal()) else ""
    yield " | ".join(part for part in (_text(one, "footer"), shown) if part)


def _fields(value: object) -> Iterator[str]:
    for one in value if isinstance(value, list) else ():
        if isinstance(one, dict):
            shown = [one[name] for name in ("title", "value") if isinstance(one.get(name), str | int | float)]
            yield ": ".join(plain(str(part)) for part in shown if part != "")


def _text(one: dict[str, Any], name: str) -> str:
    found = one.get(name)
    return plain(found) if isinstance(found, str) else ""
