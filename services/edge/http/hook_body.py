"""The text of a message in the shape of Slack's incoming hooks; pure."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

import msgspec

from shared.contract.errors import ErrorCode, RequestError

_FORM = "application/x-www-form-urlencoded"
_DEPTH = 8
_LINK = re.compile(r"<([a-z]+:[^|<>\s]+)(?:\|([^<>]*))?>")
_ESCAPED = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))
_TEXTS = ("pretext", "title", "text")
"""Of an attachment, in the order in which Slack shows them."""


def text_of(content_type: str, body: bytes) -> str:
    """`text`; without it, the texts of `blocks` and `attachments`. Raises RequestError."""
    message = _object(content_type, body)
    text = message.get("text")
    if isinstance(text, str) and text.strip():
        return _plain(text)
    if text is not None and not isinstance(text, str):
        raise RequestError(ErrorCode.INVALID, "`text` is a text", "text")
    parts = [*_texts(message.get("blocks"), _DEPTH), *_attached(message.get("attachments"))]
    if not (lines := "\n".join(part for part in parts if part.strip())):
        raise RequestError(ErrorCode.INVALID, "the message has no text", "text")
    return _plain(lines)


def _object(content_type: str, body: bytes) -> dict[str, Any]:
    """Raises RequestError."""
    try:
        if content_type.partition(";")[0].strip().lower() == _FORM:
            body = parse_qs(body.decode(), errors="strict", max_num_fields=16).get("payload", [""])[0].encode()
        return msgspec.json.decode(body, type=dict[str, Any])
    except (ValueError, RecursionError) as error:
        raise RequestError(ErrorCode.INVALID, "the body is a JSON object, or a form with one in `payload`") from error


def _texts(value: object, depth: int) -> Iterator[str]:
    """Of blocks: a text is a string, or an object with one; all else is gone through."""
    if isinstance(value, list) and depth:
        for one in value:
            yield from _texts(one, depth - 1)
    elif isinstance(value, dict) and depth:
        text = value.get("text")
        if isinstance(text, str):
            yield text
        for part in (text, value.get("fields"), value.get("elements")):
            if not isinstance(part, str):
                yield from _texts(part, depth - 1)


def _attached(value: object) -> Iterator[str]:
    """Of each attachment, `fallback` if it has nothing else."""
    for one in value if isinstance(value, list) else ():
        if isinstance(one, dict):
            found = [one[name] for name in _TEXTS if isinstance(one.get(name), str)]
            found += [*_fields(one.get("fields")), *_texts(one.get("blocks"), _DEPTH)]
            fallback = one.get("fallback")
            yield from found or ([fallback] if isinstance(fallback, str) else [])


def _fields(value: object) -> Iterator[str]:
    for one in value if isinstance(value, list) else ():
        if isinstance(one, dict):
            yield ": ".join(str(one[name]) for name in ("title", "value") if name in one)


def _plain(text: str) -> str:
    """Links as addresses, without Slack's escapes, and without the character that no message has."""
    text = _LINK.sub(lambda link: f"{link[2]} ({link[1]})" if link[2] else link[1], text)
    for escaped, character in _ESCAPED:
        text = text.replace(escaped, character)
    return text.replace("\0", "").strip()
