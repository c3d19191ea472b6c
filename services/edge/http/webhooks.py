"""`POST /hooks/SECRET`: a program without an account posts to a group, in the format of Slack's incoming webhooks. The
readable parts of blocks and attachments become lines of text. Values that do not have the type in Slack's documentation
are left out."""

import codecs
import re
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from services.edge.http.request import read_body
from shared.contract.errors import ErrorCode, RequestError
from shared.settings.limits import LimitsSettings

PostToWebhook = Callable[[str, str, str], Awaitable[None]]
"""Posts a text with a webhook's secret. The third argument is a key against repetition, or empty. Raises
RequestError."""
_KEY_CHARACTERS = 255
_FORM = "application/x-www-form-urlencoded"
_CHARSETS = {"iso-8859-1": "latin-1", "latin1": "latin-1", "windows-1252": "cp1252"}
"""The encodings that older programs send, in addition to UTF-8, and UTF-16 with a byte order mark."""
_DEPTH = 12
_MARK = re.compile(r"<([^<>|]+)(?:\|([^<>]*))?>")
_ESCAPED = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))
_PARTS = (
    "author_name", "title", "label", "text", "description", "subtitle", "body", "alt_text", "placeholder", "fields",
    "accessory", "elements", "options", "blocks", "rows", "cells",
)  # fmt: skip
"""The parts of a block, or of an element of a block, in the order in which Slack shows the parts."""


class HttpWebhooks:
    def __init__(self, post: PostToWebhook, limits: LimitsSettings) -> None:
        self._post = post
        self._body_bytes = limits.text_frame_bytes

    async def respond(self, request: Request) -> Response:
        """Respond with `ok`, as Slack does, once the message is committed. Raises ClientDisconnect, RequestError."""
        key = request.headers.get("idempotency-key", "")
        if len(key) > _KEY_CHARACTERS:
            raise RequestError(ErrorCode.INVALID, f"a key has at most {_KEY_CHARACTERS} characters", "Idempotency-Key")
        body = await read_body(request, self._body_bytes)
        text = text_of(request.headers.get("content-type", ""), body)
        await self._post(request.path_params["secret"], text, key)
        return PlainTextResponse("ok", headers={"Cache-Control": "no-store"})


def text_of(content_type: str, body: bytes) -> str:
    """Return the texts of `text`, `blocks` and `attachments`. If there are `blocks` or `attachments`, `text` may only
    be their summary for notifications. If it repeats them, it is left out. Raises RequestError."""
    message = _object(content_type, body)
    text = message.get("text")
    if text is not None and not isinstance(text, str):
        raise RequestError(ErrorCode.INVALID, "`text` is a text", "text")
    lines = [*block_lines(message.get("blocks")), *attachment_lines(message.get("attachments"))]
    rest = "\n".join(line for line in lines if line.strip())
    first = plain(text or "")
    parts = [rest] if _compact(first) in _compact(rest) else [first, rest]
    shown = "\n".join(part for part in parts if part.strip()).replace("\0", "").strip()
    if not shown:
        raise RequestError(ErrorCode.INVALID, "the message has no text", "text")
    return shown


def _compact(text: str) -> str:
    return "".join(text.split())


def _object(content_type: str, body: bytes) -> dict[str, Any]:
    """Raises RequestError."""
    kind, _, parameters = content_type.lower().partition(";")
    try:
        text = _decode(body, parameters).strip()
        if kind.strip() == _FORM:
            text = parse_qs(text, errors="strict", max_num_fields=16).get("payload", [""])[0]
        return msgspec.json.decode(text, type=dict[str, Any])
    except (ValueError, RecursionError) as error:
        raise RequestError(ErrorCode.INVALID, "the body must be JSON, or a form with JSON in `payload`") from error


def _decode(body: bytes, parameters: str) -> str:
    """Raises ValueError."""
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return body.decode("utf-16")
    _, _, charset = parameters.partition("charset=")
    return body.decode(_CHARSETS.get(charset.partition(";")[0].strip(' "'), "utf-8-sig"))


def plain(text: str) -> str:
    """Turn Slack's markup (links, mentions, dates) and escapes into readable text."""
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
    """The lines of a block, of several blocks, or of an element of a block."""
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
    """Replace a picture in a line of small print by its text, because such a picture is as small as a letter."""
    if isinstance(element, dict) and element.get("type") == "image":
        return element.get("alt_text")
    return element


def _rich_lines(value: object, depth: int, indent: str = "") -> Iterator[str]:
    """The lines of a rich text: one line for each section, and one for each item of a list."""
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
    """The text of an element of a rich text. It contains no markup."""
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
    """The characters with these code points, as in `1f44d-1f3fb`. The text is empty if they are no emoji."""
    try:
        text = "".join(chr(int(point, 16)) for point in points.split("-"))
        text.encode()
    except (ValueError, OverflowError):
        return ""
    return text


def moment(seconds: float | str) -> str:
    """A time in Unix seconds as text. The text is empty for a time that does not exist."""
    try:
        return datetime.fromtimestamp(float(seconds), UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return ""


# Attachments


def attachment_lines(value: object) -> Iterator[str]:
    """The lines of each attachment. If an attachment has no lines, its `fallback` is used."""
    for one in value if isinstance(value, list) else ():
        if isinstance(one, dict):
            lines = [line for line in _attachment(one) if line.strip()]
            fallback = one.get("fallback")
            yield from lines or ([plain(fallback)] if isinstance(fallback, str) else [])


def _attachment(one: dict[str, Any]) -> Iterator[str]:
    """The lines of one attachment, in the order in which Slack shows them."""
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
